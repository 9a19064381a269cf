import { startLoop } from "@banyan/service";
import type { HousekeepingConfig } from "../config.ts";
import type { Context } from "../context.ts";
import type { Recipe } from "../domain/recipe.ts";
import { ensureImages } from "./ensure-images.ts";
import { keepHouse } from "./keep-house.ts";
import { sweepBuilds } from "./sweep-builds.ts";

const ENSURE_EVERY_MS = 5_000;
const SWEEP_EVERY_MS = 5_000;

/** Each compares what should be with what is, for as long as the service runs. */
export function startLoops(ctx: Context, recipes: readonly Recipe[], housekeeping: HousekeepingConfig): { stop(): Promise<void> } {
  const { clock, logger } = ctx;
  const seen = new Set<string>();
  const loops = [
    startLoop({ name: "ensure-images", everyMs: ENSURE_EVERY_MS, clock, logger, round: () => ensureImages(ctx, recipes, seen) }),
    startLoop({ name: "sweep-builds", everyMs: SWEEP_EVERY_MS, clock, logger, round: () => sweepBuilds(ctx) }),
    startLoop({ name: "keep-house", everyMs: housekeeping.everyMs, clock, logger, round: () => keepHouse(ctx, housekeeping) }),
  ];
  return {
    async stop() {
      await Promise.all(loops.map((loop) => loop.stop()));
    },
  };
}
