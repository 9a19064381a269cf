import { fault, ListVolumeUsers } from "@banyan/contracts";
import type { WorkContext } from "./context.ts";
import { isAtRest, mountKey, type Users } from "./domain/in-use.ts";
import { findReaders } from "./store/find-readers.ts";
import { listVersions } from "./store/list-versions.ts";

const ASK_MS = 5_000;
const PAGE = 200;
const NAMED_MAX = 20;

/** Who has the volume, or this version of it, among its mounts. */
export function askUsers({ bus }: Pick<WorkContext, "bus">, volumeId: string, versionId: string | null): Promise<Users> {
  return bus.call(ListVolumeUsers, { volumeId, versionId }, { deadlineMs: ASK_MS });
}

/** The mounts that are pinned to one of its newest versions. */
export async function pinnedMounts(ctx: Pick<WorkContext, "bus" | "db">, volumeId: string): Promise<Set<string>> {
  const versions = await listVersions(ctx.db, { volumeId, cursor: null, limit: PAGE });
  const asked = await Promise.all(versions.map(({ id }) => askUsers(ctx, volumeId, id)));
  return new Set(asked.flatMap(({ users }) => users.map(mountKey)));
}

/**
 * Throws volume.in_use where files are not to be removed yet: a sandbox that was being started when its volume was closed may have it mounted since, and
 * forks and restores read what they are made from to their end.
 */
export async function assertUnused(ctx: Pick<WorkContext, "bus" | "db">, volumeId: string, versionId: string | null): Promise<void> {
  const { users, total } = await askUsers(ctx, volumeId, versionId);
  const running = users.filter((user) => !isAtRest(user));
  if (running.length > 0 || total > users.length) throw inUse({ users: running, total });
  const readers = await findReaders(ctx.db, volumeId, versionId);
  if (readers.length > 0) throw fault("volume.in_use", { volumeIds: readers, count: readers.length });
}

/** The refusal, with by whom. */
export const inUse = ({ users, total }: Users) =>
  fault("volume.in_use", {
    usedBy: users.slice(0, NAMED_MAX).map(({ sandboxId, state, path, mode }) => ({ sandboxId, state, path, mode })),
    count: total,
  });
