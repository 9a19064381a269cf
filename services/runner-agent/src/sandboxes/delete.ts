import { fault, type InputOf, type NodeDelete, type OutputOf } from "@banyan/contracts";
import { endRun } from "./end-run.ts";
import type { NodeParts } from "./parts.ts";

/** Ends it and removes its disk, in whatever state it is. Said first, done second: a crash in between is finished at the next start. */
export async function deleteSandbox(
  parts: NodeParts,
  { sandboxId, epoch }: InputOf<typeof NodeDelete>,
): Promise<OutputOf<typeof NodeDelete>> {
  return parts.interrupts.whileUrgent(sandboxId, epoch, () =>
    parts.turns.take(sandboxId, async () => {
      const known = parts.registry.get(sandboxId);
      if (known !== undefined && epoch < known.entry.epoch) throw fault("sandbox.stale_epoch", { sandboxId, epoch: known.entry.epoch });
      parts.tombstones.add(sandboxId, epoch, known?.entry.epoch === epoch && known.entry.fork?.phase === "ended");
      await finishDelete(parts, sandboxId);
      return {};
    }),
  );
}

export async function finishDelete(parts: NodeParts, sandboxId: string): Promise<void> {
  await endRun(parts, sandboxId);
  await parts.disk.driver.delete(sandboxId);
  parts.registry.remove(sandboxId);
  parts.journal.remove(sandboxId);
}
