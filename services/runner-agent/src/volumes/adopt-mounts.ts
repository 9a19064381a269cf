import { type Mount, readMounts } from "@banyan/runtime";
import type { JournalEntry } from "../sandboxes/journal.ts";
import type { NodeParts } from "../sandboxes/parts.ts";
import type { MountRecord } from "./record.ts";

/** The mounts of a run that an earlier process began, as the kernel has them: one that was about to be made is there or it is not. */
export function foundMounts({ mounts }: Pick<JournalEntry, "mounts">, table: readonly Mount[]): MountRecord[] {
  return mounts.flatMap((record) => {
    const found = table.findLast(({ id, mountPoint }) => (record.mountId === null ? mountPoint === record.path : id === record.mountId));
    return found === undefined ? [] : [{ ...record, mountId: found.id }];
  });
}

/** Takes over the mounts of all that runs; object volumes that nobody has any more are unmounted. */
export async function adoptMounts(parts: NodeParts): Promise<void> {
  const held = new Map<string, number>();
  for (const { entry, run } of parts.registry.running()) {
    if (entry.mounts.length === 0) continue;
    const noted = { ...entry, mounts: foundMounts(entry, readMounts(run.slot.pid)) };
    parts.journal.write(noted);
    parts.registry.setNoted(noted);
    for (const { source } of noted.mounts) if (source.kind === "object") held.set(source.volumeId, (held.get(source.volumeId) ?? 0) + 1);
  }
  await parts.stores.objects?.adopt(held);
}
