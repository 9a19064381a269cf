import { createReadStream } from "node:fs";
import { layerBlob } from "@banyan/contracts";
import { AppError, messageOf } from "@banyan/kernel";
import { type MakeLayerOptions, makeLayer } from "../build/make-layer.ts";
import type { Context } from "../context.ts";
import { retryDelayMs } from "../domain/next-action.ts";
import { type Recipe, recipeKey } from "../domain/recipe.ts";
import { applyTransition } from "../store/apply-transition.ts";
import { noteLayers } from "../store/note-layers.ts";
import type { ImageRow } from "../store/schema.ts";

const REASON_LENGTH_MAX = 2_000;

export interface Making extends Omit<MakeLayerOptions, "logger" | "signal"> {
  recipes: readonly Recipe[];
}

/** A failure is an outcome, written down; a database or bus that is away is not, and the job comes again. */
export async function makeRecipe(ctx: Context, image: ImageRow, { recipes, ...make }: Making): Promise<void> {
  const { db, bus, clock, logger, stopping } = ctx;
  const startedAt = clock.monotonicMs();
  try {
    const recipe = recipes.find((one) => recipeKey(one, process.arch) === image.key);
    if (recipe === undefined) throw new Error(`there is no recipe of the key ${image.key}`);
    const { digest, sizeBytes, origin, path } = await makeLayer(recipe, { ...make, logger, signal: stopping });
    const at = new Date(clock.now());
    const layers = [{ digest, sizeBytes }];
    // Noted before it is looked whether it is there: from here on the sweep leaves it alone.
    await noteLayers(db.orm, layers, at);
    if (!(await bus.blobs.has(layerBlob(digest)))) await bus.blobs.put(layerBlob(digest), createReadStream(path));
    const history = [{ title: `recipe ${recipe.name}`, digest, sizeBytes, at: at.getTime() }];
    await applyTransition(db, image, "built", { layers, history, origin, error: null, attempts: 0, deadlineAt: at });
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
