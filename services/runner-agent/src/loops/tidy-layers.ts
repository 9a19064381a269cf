import { type LayerBounds, spareLayers } from "../domain/spare-layers.ts";
import type { NodeParts } from "../sandboxes/parts.ts";

/** Removes layers that no sandbox here stands on, running or stopped, and that no start is under way with. True: there may be more. */
export async function tidyLayers(parts: NodeParts, bounds: LayerBounds): Promise<boolean> {
  const { layers, disk, clock, logger } = parts;
  await layers.noteUses();
  const { totalBytes, freeBytes } = disk.space();
  const facts = { now: clock.now(), usedShare: 1 - freeBytes / totalBytes, bounds };
  const spare = spareLayers(layers.unheld(), usedLayers(parts), facts);
  let removed = 0;
  for (const digest of spare) {
    // Removing takes time, and a sandbox may have come to stand on it meanwhile.
    const used = usedLayers(parts);
    if (used === "unknown" || used.has(digest) || !(await layers.remove(digest))) continue;
    logger.info({ digest }, "a layer that nobody uses is removed");
    removed++;
  }
  return removed > 0;
}

function usedLayers({ registry }: NodeParts): Set<string> | "unknown" {
  const used = new Set<string>();
  for (const { layers } of registry.entries()) {
    if (layers === null) return "unknown";
    for (const { digest } of layers) used.add(digest);
  }
  return used;
}
