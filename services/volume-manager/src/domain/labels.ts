import { Labels, LIMITS } from "@banyan/contracts";

/** Null removes a label; those not named stay. Answers why that cannot be, as text, or the labels. */
export function mergeLabels(
  before: Record<string, string>,
  changes: Record<string, string | null>,
): { labels: Record<string, string> } | { issue: string } {
  const merged = Object.entries({ ...before, ...changes }).filter((entry): entry is [string, string] => entry[1] !== null);
  const parsed = Labels.safeParse(Object.fromEntries(merged));
  if (parsed.success) return { labels: parsed.data };
  return { issue: `labels: ${parsed.error.issues[0]?.message ?? `at most ${LIMITS.labelsPerSandbox}`}` };
}
