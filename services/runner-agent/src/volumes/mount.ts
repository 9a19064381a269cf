import { fault, type InputOf, type MountOrder, type NodeMount, type OutputOf } from "@banyan/contracts";
import { AppError, messageOf } from "@banyan/kernel";
import type { JournalEntry } from "../sandboxes/journal.ts";
import type { NodeParts } from "../sandboxes/parts.ts";
import type { Known, Run } from "../sandboxes/registry.ts";
import { mountFault } from "./mount-fault.ts";
import { isSameMount, type MountRecord, recordOf } from "./record.ts";
import { volumeRequest } from "./request.ts";

/** Mounts a volume in a sandbox that runs. Written down first: a process that follows finds out whether it came to that. */
export async function mountVolume(
  parts: NodeParts,
  { sandboxId, epoch, mount }: InputOf<typeof NodeMount>,
): Promise<OutputOf<typeof NodeMount>> {
  return parts.turns.take(sandboxId, async () => {
    const { entry, run } = runningOf(parts, { sandboxId, epoch });
    const there = entry.mounts.find(({ path }) => path === mount.path);
    if (there !== undefined) {
      if (isSameMount(there, mount)) return {};
      throw fault("mount.exists", { sandboxId, path: mount.path });
    }
    const [source = ""] = await parts.stores.open([mount]);
    noteMounts(parts, entry, [...entry.mounts, recordOf(mount)]);
    try {
      const mountId = await mountIn(parts, entry, run, mount, source);
      noteMounts(parts, entry, [...entry.mounts, recordOf(mount, mountId)]);
      return {};
    } catch (cause) {
      noteMounts(parts, entry, entry.mounts);
      parts.stores.release([mount]);
      if (cause instanceof AppError) throw cause;
      throw mountFault(cause, [mount]) ?? fault("volume.mount_failed", { path: mount.path, reason: messageOf(cause) }, { cause });
    }
  });
}

function mountIn({ attach, disk, layers }: NodeParts, entry: JournalEntry, { slot }: Run, mount: MountOrder, source: string) {
  const paths = disk.driver.paths(entry.sandboxId);
  return attach.mount({
    pid: slot.pid,
    startTime: slot.startTime,
    lower: (entry.layers ?? []).map(({ digest }) => layers.path(digest)).reverse(),
    upper: paths.upper,
    volume: volumeRequest(mount, source, paths),
  });
}

/** The run that is meant; another's end, or another run's beginning, makes the command stale. */
export function runningOf(parts: NodeParts, { sandboxId, epoch }: { sandboxId: string; epoch: number }): Known & { run: Run } {
  const known = parts.registry.get(sandboxId);
  if (known === undefined) throw fault("sandbox.not_found", { sandboxId });
  const { run } = known;
  if (known.entry.epoch !== epoch || run === null) throw fault("sandbox.stale_epoch", { sandboxId, epoch: known.entry.epoch });
  return { ...known, run };
}

/** Without effect on a run that has ended meanwhile: its mounts went with it. */
export function noteMounts(parts: NodeParts, { sandboxId, epoch }: JournalEntry, mounts: MountRecord[]): void {
  const known = parts.registry.get(sandboxId);
  if (known?.run == null || known.entry.epoch !== epoch) return;
  const noted = { ...known.entry, mounts };
  parts.journal.write(noted);
  parts.registry.setNoted(noted);
}
