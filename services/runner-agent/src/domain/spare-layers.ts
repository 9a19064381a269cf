/** How long layers that nobody uses are kept. */
export interface LayerBounds {
  ageS: number;
  /** Share of the disk in use above which those unused go sooner. */
  diskShare: number;
}

export interface LayerFacts {
  digest: string;
  lastUsedAt: number;
}

/** However full the disk is: what was just used is likely to be used again, and a fetch costs more than it frees. */
const AGE_UNDER_PRESSURE_MS = 60_000;
const REMOVED_PER_ROUND_MAX = 32;

/**
 * Which layers a node gives up: unused for so long, or, on a full disk, the one that was used longest ago, one at a time, for the next look tells
 * whether it was enough. Those that a sandbox stands on never; nor any while it is not known of every sandbox what it stands on.
 */
export function spareLayers(
  layers: readonly LayerFacts[],
  used: ReadonlySet<string> | "unknown",
  { now, usedShare, bounds }: { now: number; usedShare: number; bounds: LayerBounds },
): string[] {
  if (used === "unknown") return [];
  const unused = layers.filter(({ digest }) => !used.has(digest)).toSorted((one, other) => one.lastUsedAt - other.lastUsedAt);
  const old = unused.filter(({ lastUsedAt }) => now - lastUsedAt > bounds.ageS * 1_000).slice(0, REMOVED_PER_ROUND_MAX);
  if (old.length > 0 || usedShare <= bounds.diskShare) return old.map(({ digest }) => digest);
  return unused
    .filter(({ lastUsedAt }) => now - lastUsedAt > AGE_UNDER_PRESSURE_MS)
    .slice(0, 1)
    .map(({ digest }) => digest);
}
