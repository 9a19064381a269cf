import { contextBlob, ListLayerUsers, layerBlob } from "@banyan/contracts";
import type { HousekeepingConfig } from "../config.ts";
import type { Context } from "../context.ts";
import { findUnusedLayers } from "../store/find-unused-layers.ts";
import { purgeEvents } from "../store/purge-events.ts";
import { removeLayer } from "../store/remove-layer.ts";
import { removeOldContext } from "../store/remove-old-context.ts";
import { adoptStrays } from "./adopt-strays.ts";

const DAY_MS = 24 * 3600 * 1000;
const EVENTS_KEPT_MS = 30 * DAY_MS;
const BUILDS_PER_ROUND = 100;
const LAYERS_PER_ROUND = 500;
const CONTEXTS_PER_ROUND = 100;
const STEP_IMAGES = { ageMsMax: 7 * DAY_MS, countMax: 200 };

/** Removes what nothing refers to any more: layers and contexts in the store, steps in the engine, the events of old builds. */
export async function keepHouse(ctx: Context, { layerAgeMs, contextAgeMs, unusedContextAgeMs }: HousekeepingConfig): Promise<boolean> {
  const now = ctx.clock.now();
  await adoptStrays(ctx, { layersBefore: now - layerAgeMs, contextsBefore: now - unusedContextAgeMs });
  const purged = await purgeEvents(ctx.db, { endedBefore: new Date(now - EVENTS_KEPT_MS), limit: BUILDS_PER_ROUND });
  const swept = await sweepLayers(ctx, now - layerAgeMs);
  const forgotten = await sweepContexts(ctx, now - contextAgeMs);
  await ctx.engine
    .pruneImages({ ...STEP_IMAGES, now })
    .catch((err) => ctx.logger.warn({ err }, "the Docker Engine was not asked to make room"));
  return purged === BUILDS_PER_ROUND || swept === LAYERS_PER_ROUND || forgotten === CONTEXTS_PER_ROUND;
}

/** A build that waits and runs as long as it may is over before its context is old. Who needs it again uploads it again. */
async function sweepContexts({ db, bus }: Context, usedBefore: number): Promise<number> {
  const removeBlob = ({ orgId, digest }: { orgId: string; digest: string }) => bus.blobs.delete(contextBlob(orgId, digest));
  let removed = 0;
  while (removed < CONTEXTS_PER_ROUND && (await removeOldContext(db, new Date(usedBefore), removeBlob))) removed++;
  return removed;
}

/** Answers how many were removed. */
async function sweepLayers({ db, bus, logger }: Context, putBefore: number): Promise<number> {
  const digests = await findUnusedLayers(db, { putBefore: new Date(putBefore), limit: LAYERS_PER_ROUND });
  if (digests.length === 0) return 0;
  const { usedDigests } = await bus.call(ListLayerUsers, { imageId: null, digests });
  const used = new Set(usedDigests);
  let removed = 0;
  for (const digest of digests.filter((digest) => !used.has(digest)))
    if (await removeLayer(db, { digest, putBefore: new Date(putBefore) }, () => bus.blobs.delete(layerBlob(digest)))) removed++;
  if (removed > 0) logger.info({ removed }, "removed layers that nothing refers to");
  return removed;
}
