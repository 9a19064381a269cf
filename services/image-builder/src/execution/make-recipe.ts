import { createReadStream } from "node:fs";
import { fault, type LayerRef, layerBlob } from "@banyan/contracts";
import { AppError, messageOf } from "@banyan/kernel";
import { type MakeLayerOptions, makeLayer } from "../build/make-layer.ts";
import type { Context } from "../context.ts";
import { retryDelayMs } from "../domain/next-action.ts";
import { type Recipe, recipeKey } from "../domain/recipe.ts";
import { applyTransition } from "../store/apply-transition.ts";
import { noteLayers } from "../store/note-layers.ts";
import type { ImageRow } from "../store/schema.ts";

const REASON_LENGTH_MAX = 2_000;
/** Swept away more often than this between two looks, something else is wrong. */
const PUTS_MAX = 3;

export interface Making extends Omit<MakeLayerOptions, "logger" | "signal"> {
  recipes: readonly Recipe[];
}

/** A failure is an outcome, written down; a database or bus that is away is not, and the job comes again. */
export async function makeRecipe(ctx: Context, image: ImageRow, { recipes, ...make }: Making): Promise<void> {
  const { db, clock, logger, stopping } = ctx;
  const startedAt = clock.monotonicMs();
  try {
    const recipe = recipes.find((one) => recipeKey(one, process.arch) === image.key);
    if (recipe === undefined) throw new Error(`there is no recipe of the key ${image.key}`);
    const { digest, sizeBytes, origin, path } = await makeLayer(recipe, { ...make, logger, signal: stopping });
    const layer = { digest, sizeBytes };
    await ensureStored(ctx, layer, path);
    const at = new Date(clock.now());
    const history = [{ title: `recipe ${recipe.name}`, digest, sizeBytes, at: at.getTime() }];
    await applyTransition(db, image, "built", { layers: [layer], history, origin, error: null, attempts: 0, deadlineAt: at });
    logger.info({ image: recipe.name, digest, sizeBytes, origin, ms: Math.round(clock.monotonicMs() - startedAt) }, "image: ready");
  } catch (error) {
    stopping.throwIfAborted();
    if (error instanceof AppError && error.kind === "unavailable") throw error;
    const attempts = image.attempts + 1;
    const delayMs = retryDelayMs(attempts);
    logger.error({ image: image.id, attempts, retryInMs: delayMs, err: error }, "image: could not be made");
    const reason = messageOf(error).slice(0, REASON_LENGTH_MAX);
    await applyTransition(db, image, "failed", { error: reason, attempts, deadlineAt: new Date(clock.now() + (delayMs ?? 0)) });
  }
}

/**
 * Noted before it is looked whether it is there: from then on the sweep leaves it alone, for as long as it leaves alone what is new. A put may
 * take longer than that, so it is noted and looked for once more after it.
 */
async function ensureStored({ db, bus, clock }: Context, layer: LayerRef, path: string): Promise<void> {
  for (let puts = 0; ; puts++) {
    await noteLayers(db.orm, [layer], new Date(clock.now()));
    if (await bus.blobs.has(layerBlob(layer.digest))) return;
    if (puts === PUTS_MAX) throw fault("layer.unavailable", { digest: layer.digest });
    await bus.blobs.put(layerBlob(layer.digest), createReadStream(path));
  }
}
