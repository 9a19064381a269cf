import { createReadStream } from "node:fs";
import type { Bus, Consuming } from "@banyan/bus";
import { BuildImage, layerBlob } from "@banyan/contracts";
import type { Database } from "@banyan/db";
import { AppError, type Clock, type Logger, messageOf } from "@banyan/kernel";
import { type MakeLayerOptions, makeLayer } from "../build/make-layer.ts";
import { retryDelayMs } from "../domain/next-action.ts";
import { type Recipe, recipeKey } from "../domain/recipe.ts";
import { applyTransition } from "../store/apply-transition.ts";
import { findImageById } from "../store/find-image.ts";
import type { ImageRow } from "../store/schema.ts";

const SIGN_OF_WORK_MS = 10_000;
const REASON_LENGTH_MAX = 2_000;

export interface BuildImageDeps {
  bus: Bus;
  db: Database;
  clock: Clock;
  logger: Logger;
  recipes: readonly Recipe[];
  make: Omit<MakeLayerOptions, "logger">;
}

/** One at a time: a build takes the machine's cores. A job for a version that has passed is done. */
export function buildImages(deps: BuildImageDeps): Consuming {
  return deps.bus.consumeJobs(
    BuildImage,
    async ({ imageId, version }, { working }) => {
      const image = await findImageById(deps.db, imageId);
      if (image === null || image.state !== "building" || image.version !== version) return;
      const sign = setInterval(working, SIGN_OF_WORK_MS);
      try {
        await build(deps, image);
      } finally {
        clearInterval(sign);
      }
    },
    { concurrencyMax: 1 },
  );
}

/** A failed build is an outcome, written down; a database or bus that is away is not, and the job comes again. */
async function build(deps: BuildImageDeps, image: ImageRow): Promise<void> {
  const { db, bus, clock, logger } = deps;
  const startedAt = clock.monotonicMs();
  try {
    const recipe = deps.recipes.find((one) => recipeKey(one, process.arch) === image.key);
    if (recipe === undefined) throw new Error(`there is no recipe of the key ${image.key}`);
    const { digest, sizeBytes, origin, path } = await makeLayer(recipe, { ...deps.make, logger });
    if (!(await bus.blobs.has(layerBlob(digest)))) await bus.blobs.put(layerBlob(digest), createReadStream(path));
    await applyTransition(db, image, "built", {
      layers: [{ digest, sizeBytes }],
      origin,
      error: null,
      attempts: 0,
      deadlineAt: new Date(clock.now()),
    });
    logger.info({ image: image.id, digest, sizeBytes, origin, ms: Math.round(clock.monotonicMs() - startedAt) }, "image: ready");
  } catch (error) {
    deps.make.signal.throwIfAborted();
    if (error instanceof AppError && error.kind === "unavailable") throw error;
    const attempts = image.attempts + 1;
    const delayMs = retryDelayMs(attempts);
    logger.error({ image: image.id, attempts, retryInMs: delayMs, err: error }, "image: could not be made");
    const reason = messageOf(error).slice(0, REASON_LENGTH_MAX);
    await applyTransition(db, image, "failed", { error: reason, attempts, deadlineAt: new Date(clock.now() + (delayMs ?? 0)) });
  }
}
