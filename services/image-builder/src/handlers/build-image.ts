import type { Consuming } from "@banyan/bus";
import { BuildImage } from "@banyan/contracts";
import type { Context } from "../context.ts";
import { carryOutNext } from "../execution/carry-out-next.ts";
import { type Making, makeRecipe } from "../execution/make-recipe.ts";
import { findImageById } from "../store/find-image.ts";

const SIGN_OF_WORK_MS = 10_000;

/** So many at a time as the machine is given for it. A job for a version of a recipe's image that has passed is done. */
export function buildImages(ctx: Context, making: Making): Consuming {
  return ctx.bus.consumeJobs(
    BuildImage,
    async ({ imageId, version }, { working }) => {
      const image = await findImageById(ctx.db, imageId);
      const sign = setInterval(working, SIGN_OF_WORK_MS);
      try {
        if (image?.kind !== "recipe") await carryOutNext(ctx);
        else if (image.state === "building" && image.version === version) await makeRecipe(ctx, image, making);
      } finally {
        clearInterval(sign);
      }
    },
    { concurrencyMax: ctx.config.atOnce },
  );
}
