import { frozenDigest } from "../sandboxes/frozen-layers.ts";
import type { NodeParts } from "../sandboxes/parts.ts";

/**
 * Removes frozen layers that nobody will start on any more: released or past their time, with no sandbox here that stands on them, running or
 * stopped, and no operation under way with them. How many.
 */
export async function tidyFrozen(parts: NodeParts): Promise<number> {
  const { frozenLayers, layers, clock, logger } = parts;
  let removed = 0;
  for (const { frozenId } of frozenLayers.list()) {
    // Each is looked at right before: removing takes time, and a sandbox may have come to stand on the next one meanwhile.
    const record = frozenLayers.get(frozenId);
    if (record === undefined || (!record.released && record.keepUntil > clock.now())) continue;
    if (layers.isHeld(frozenDigest(frozenId)) || isStoodOn(parts, frozenDigest(frozenId))) continue;
    await frozenLayers.remove(frozenId);
    logger.info({ frozenId, released: record.released }, "a frozen layer that nobody uses is removed");
    removed++;
  }
  return removed;
}

function isStoodOn({ registry }: NodeParts, digest: string): boolean {
  return registry.entries().some(({ layers }) => layers?.some((layer) => layer.digest === digest) ?? false);
}
