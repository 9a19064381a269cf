import type { Bus } from "@banyan/bus";
import { BuildImage, type ImageEvent, layerBlob } from "@banyan/contracts";
import { newId } from "@banyan/kernel";
import type { Context } from "../context.ts";
import { withTag } from "../domain/image-name.ts";
import { nextAction } from "../domain/next-action.ts";
import { type Recipe, recipeKey } from "../domain/recipe.ts";
import { applyTransition } from "../store/apply-transition.ts";
import { findImageByKey } from "../store/find-image.ts";
import { insertImage } from "../store/insert-image.ts";
import type { ImageRow } from "../store/schema.ts";
import { touchDeadline } from "../store/touch-deadline.ts";

/** A build that has neither ended nor failed by then has lost its job. */
const BUILD_DEADLINE_MS = 900_000;

/**
 * Compares the images that must be there with those that are. `seen` holds what this process has looked at: the first look takes up what an
 * earlier process left.
 */
export async function ensureImages(ctx: Context, recipes: readonly Recipe[], seen: Set<string>): Promise<void> {
  for (const recipe of recipes) {
    await ensureImage(ctx, recipe, !seen.has(recipe.name));
    seen.add(recipe.name);
  }
}

async function ensureImage(ctx: Context, recipe: Recipe, first: boolean): Promise<void> {
  const { db, clock } = ctx;
  const key = recipeKey(recipe, process.arch);
  const image = await findImageByKey(db, null, key);
  const layersStored = image?.state !== "ready" || (await areStored(ctx.bus, image));
  const facts = image && { ...image, deadlineAt: image.deadlineAt.getTime() };
  const action = nextAction(facts, { now: clock.now(), first, layersStored });
  switch (action.kind) {
    case "none":
      return;
    case "insert":
      return publish(ctx, await insertImage(db, newRow(recipe, key, clock.now())));
    case "build":
      if (image === null) return;
      await touchDeadline(db, image, new Date(clock.now() + BUILD_DEADLINE_MS));
      return publish(ctx, image);
    case "move":
      return image === null ? undefined : publish(ctx, await move(ctx, image, action.event, first));
  }
}

/** The job carries the version: of several for one image only the one that fits does anything. */
async function publish({ bus }: Context, image: ImageRow | null): Promise<void> {
  if (image !== null) await bus.publishJob(BuildImage, { imageId: image.id, version: image.version });
}

function move({ db, clock, logger }: Context, image: ImageRow, event: ImageEvent, first: boolean): Promise<ImageRow | null> {
  logger.info({ image: image.id, event }, "image: to be made again");
  return applyTransition(db, image, event, { deadlineAt: new Date(clock.now() + BUILD_DEADLINE_MS), ...(first && { attempts: 0 }) });
}

async function areStored(bus: Bus, image: ImageRow): Promise<boolean> {
  for (const { digest } of image.layers) if (!(await bus.blobs.has(layerBlob(digest)))) return false;
  return true;
}

function newRow(recipe: Recipe, key: string, now: number): ImageRow {
  return {
    id: newId("img"),
    orgId: null,
    kind: "recipe",
    state: "building",
    layers: [],
    config: recipe.config,
    origin: "",
    base: null,
    history: [],
    wantedNames: [withTag(recipe.name)],
    error: null,
    key,
    attempts: 0,
    version: 1,
    deadlineAt: new Date(now + BUILD_DEADLINE_MS),
    createdAt: new Date(now),
    lastUsedAt: new Date(now),
  };
}
