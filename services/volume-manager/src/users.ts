import { fault, ListVolumeUsers } from "@banyan/contracts";
import type { WorkContext } from "./context.ts";
import { activeUsers, isIdle, type Users } from "./domain/in-use.ts";
import { findReaders } from "./store/find-readers.ts";

const ASK_MS = 5_000;
const NAMED_MAX = 20;

/** Who has the volume, or this version of it, among its mounts. */
export function askUsers({ bus }: Pick<WorkContext, "bus">, volumeId: string, versionId: string | null): Promise<Users> {
  return bus.call(ListVolumeUsers, { volumeId, versionId }, { deadlineMs: ASK_MS });
}

/**
 * Throws volume.in_use where files are not to be removed yet: a sandbox that was being started when its volume was closed may have it mounted since, and
 * forks and restores read what they are made from to their end.
 */
export async function assertUnused(ctx: Pick<WorkContext, "bus" | "db">, volumeId: string, versionId: string | null): Promise<void> {
  const found = await askUsers(ctx, volumeId, versionId);
  if (!isIdle(found)) throw inUse({ ...found, users: activeUsers(found) });
  const readers = await findReaders(ctx.db, volumeId, versionId);
  if (readers.length > 0) throw fault("volume.in_use", { volumeIds: readers, count: readers.length });
}

/** The refusal, with by whom. */
export function inUse({ users, forks, total }: Users): Error {
  const usedBy = users.slice(0, NAMED_MAX).map(({ sandboxId, state, path, mode }) => ({ sandboxId, state, path, mode }));
  return fault("volume.in_use", { usedBy, forks, count: total });
}
