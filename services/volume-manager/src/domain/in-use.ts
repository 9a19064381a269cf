import type { SandboxState, VolumeUser } from "@banyan/contracts";

/** As the scheduler answers: those that run or may run soon are named first; forks are counted only. */
export interface Users {
  users: readonly VolumeUser[];
  forks: number;
  /** Of which `users` may be only the first. */
  total: number;
}

/** Those that have no process any more that could hold a file open. */
const AT_REST: ReadonlySet<SandboxState> = new Set(["stopped", "failed", "deleted"]);
const isAtRest = ({ state, mayRun }: Pick<VolumeUser, "state" | "mayRun">): boolean => AT_REST.has(state) && mayRun !== true;

/** Those who may have its files open by now. */
export const activeUsers = ({ users }: Users): VolumeUser[] => users.filter((user) => !isAtRest(user));

/** Nobody may have its files open. */
export const isIdle = (found: Users): boolean => found.forks === 0 && activeUsers(found).length === 0;

/** Whether it may be deleted: nobody has it among its mounts, or, by force, only those at rest. */
export const mayDelete = (found: Users, force: boolean): boolean => found.total === 0 || (force && isIdle(found));

/** Whether its content may change as a whole: those who see it see a version, which does not change. Of those who are not named nothing is assumed. */
export function mayReplace(found: Users): boolean {
  const last = found.users.at(-1);
  const allNamed = found.total <= found.users.length + found.forks || (last !== undefined && isAtRest(last));
  return found.forks === 0 && allNamed && activeUsers(found).every(({ versionId }) => versionId !== null);
}
