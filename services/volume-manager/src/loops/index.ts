import { type Loop, type LoopOptions, startLoop } from "@banyan/service";
import type { Context } from "../context.ts";
import { keepHouse, tidyStores } from "./keep-house.ts";
import { measureUsage } from "./measure-usage.ts";
import { sayChanges } from "./say-changes.ts";

const TIDY_EVERY_MS = 600_000;

export interface Loops {
  /** Something is in the outbox. */
  said(): void;
  stop(): Promise<void>;
}

/** Everything that repairs, and what nobody waits for. */
export function startLoops(ctx: Context): Loops {
  const loop = (name: string, everyMs: number, round: LoopOptions["round"]): Loop =>
    startLoop({ name, everyMs, round, clock: ctx.clock, logger: ctx.logger });
  const outbox = loop("say-changes", 1_000, () => sayChanges(ctx));
  const loops = [
    outbox,
    loop("carry-out", 1_000, () => ctx.works.round()),
    loop("measure-usage", Math.min(ctx.config.usageEveryMs, 5_000), (signal) => measureUsage(ctx, signal)),
    loop("keep-house", 10_000, () => keepHouse(ctx)),
    loop("tidy-stores", TIDY_EVERY_MS, () => tidyStores(ctx)),
  ];
  return {
    said: () => outbox.poke(),
    async stop() {
      await Promise.all(loops.map((one) => one.stop()));
    },
  };
}
