import type { ForkOutcome } from "@banyan/contracts";

/** Text from inside a sandbox as the database can hold it: no NUL, no half characters. */
export const cleanText = (text: string): string => text.replaceAll("\0", "\ufffd").toWellFormed();

export function cleanOutcome(outcome: ForkOutcome): ForkOutcome {
  const { signal, stdout, stderr } = outcome;
  return { ...outcome, signal: signal && cleanText(signal), stdout: cleanText(stdout), stderr: cleanText(stderr) };
}
