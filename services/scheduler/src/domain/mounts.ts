import { type ErrorCode, LIMITS, type MountOrder, mountFault, type VolumeMount } from "@banyan/contracts";

/** The volumes of one start. The orders may hold secrets: they live in memory and in messages to nodes, and are never written down or logged. */
export interface Mounts {
  /** With ids, as they are written down. */
  declared: VolumeMount[];
  orders: MountOrder[];
  /** What the node has to reach, each once. */
  stores: string[];
}

export const NO_MOUNTS: Mounts = { declared: [], orders: [], stores: [] };

export const mountsOf = (declared: VolumeMount[], orders: MountOrder[]): Mounts => ({
  declared,
  orders,
  stores: [...new Set(orders.map(({ source }) => source.store))],
});

/** What every node would say: not asked of another one. */
const HOLDS_EVERYWHERE: ReadonlySet<string> = new Set<ErrorCode>([
  "volume.not_found",
  "volume.version_not_found",
  "volume.subpath_not_found",
  "mount.refused",
]);
export const isMountRefusal = (code: string): boolean => HOLDS_EVERYWHERE.has(code);

export const isSameMount = (a: VolumeMount, b: VolumeMount): boolean =>
  a.volume === b.volume && a.version === b.version && a.path === b.path && a.subpath === b.subpath && a.mode === b.mode;

/** Something wrong with a mount beside others; `path` names the field of the one that was asked for last. */
export interface MountIssue {
  path: (string | number)[];
  message: string;
}

/** Whether all can stand beside each other, where those before `from` do. `field` names a mount by its place among those asked for. */
export function mountIssue(mounts: readonly VolumeMount[], from: number, field: (asked: number) => (string | number)[]): MountIssue | null {
  const found = mountFault(mounts);
  if (found !== null) {
    const { version, mode } = mounts[found.index] ?? {};
    const key = version !== null && mode === "rw" ? "mode" : "path";
    return { path: [...field(Math.max(0, found.index - from)), key], message: found.message };
  }
  if (mounts.length <= LIMITS.volumesPerSandbox) return null;
  return { path: field(0), message: `with those it has already, ${mounts.length} volumes, of ${LIMITS.volumesPerSandbox} that may be` };
}

/** What children have: the source's own, but at a path where the fork has one too. The fork's come last. */
export function mountsOfChildren(source: readonly VolumeMount[], own: readonly VolumeMount[]): { mounts: VolumeMount[]; kept: number } {
  const kept = source.filter(({ path }) => !own.some((one) => one.path === path));
  return { mounts: [...kept, ...own], kept: kept.length };
}
