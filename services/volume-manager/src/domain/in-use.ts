import type { SandboxState, VolumeUser } from "@banyan/contracts";

export interface Users {
  users: readonly VolumeUser[];
  /** Of which `users` may be only the first. */
  total: number;
}

/** Those that have no process any more that could hold a file open. */
const AT_REST: ReadonlySet<SandboxState> = new Set(["stopped", "failed", "deleted"]);
export const isAtRest = ({ state }: Pick<VolumeUser, "state">): boolean => AT_REST.has(state);

/** Whether it may be deleted: nobody has it among its mounts, or, by force, only those at rest. Of more users than were named nothing is assumed. */
export function mayDelete({ users, total }: Users, force: boolean): boolean {
  if (total === 0) return true;
  return force && total <= users.length && users.every(isAtRest);
}

/** Whether its content may change as a whole: nobody that runs sees it. `pinned`: users of versions, which do not change. */
export function mayReplace({ users, total }: Users, pinned: ReadonlySet<string>): boolean {
  if (total > users.length) return false;
  return users.every((user) => isAtRest(user) || pinned.has(mountKey(user)));
}

/** One mount of one sandbox. */
export const mountKey = ({ sandboxId, path }: Pick<VolumeUser, "sandboxId" | "path">): string => `${sandboxId} ${path}`;
