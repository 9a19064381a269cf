import type { ChangeSummary } from "@banyan/contracts";
import { countChanges, OWN_DIRECTORY, seededFiles } from "@banyan/runtime";
import type { NodeParts } from "./parts.ts";

/** Where the output of its command lies: ours, not what it changed. */
const LEFT_OUT = "var/tmp/banyan-fork";

/** What a child changed since the fork, without what its start put there. Null where it cannot be told. */
export async function countChild(
  { registry, layers, disk, attach, counts }: NodeParts,
  { sandboxId, epoch }: { sandboxId: string; epoch: number },
): Promise<ChangeSummary | null> {
  const entry = registry.get(sandboxId)?.entry;
  if (entry?.epoch !== epoch || entry.layers === null) return null;
  const { upper } = disk.driver.paths(sandboxId);
  const leftOut = [LEFT_OUT, OWN_DIRECTORY, ...(await seededFiles(upper))];
  const base = entry.layers.map(({ digest }) => layers.path(digest)).reverse();
  return counts.run(() => countChanges(attach.run, { now: [upper], before: [], base, leftOut }));
}
