import type { Delivery } from "@banyan/bus";
import { ForkChildrenFinished, ForkEnded, RunFork } from "@banyan/contracts";
import { startLoop } from "@banyan/service";
import type { Context } from "../context.ts";
import { admit, type ForkOrder, REFUSED_COUNTS, refusalOf } from "../forks/admit.ts";
import { sayForkEnds } from "./say-fork-ends.ts";

const TICK_MS = 500;
const SAY_MS = 2_000;
const JOBS_PARALLEL = 4;
/** Reports wait for a write, and the more of them wait the more of them are written at once. */
const REPORTS_PARALLEL = 32;

/** What keeps forks going: orders from the bus, reports of nodes, and time. */
export function runForks(ctx: Context): { stop(): Promise<void> } {
  const { clock, logger } = ctx;
  const orders = ctx.bus.consumeJobs(RunFork, (order, delivery) => run(ctx, order, delivery), { concurrencyMax: JOBS_PARALLEL });
  const reports = ctx.bus.onEvents(
    ForkChildrenFinished,
    { durable: "scheduler-fork-finished", concurrencyMax: REPORTS_PARALLEL },
    (event) => ctx.forks.finished(event),
  );
  const ticking = startLoop({ name: "tick-forks", everyMs: TICK_MS, round: async () => ctx.forks.tick(), clock, logger });
  const saying = startLoop({ name: "say-fork-ends", everyMs: SAY_MS, round: () => sayForkEnds(ctx), clock, logger });
  ctx.forks.onEnded = () => saying.poke();
  ctx.forks.open();
  return {
    async stop() {
      await Promise.all([orders.stop(), ctx.forks.stop(), ticking.stop(), saying.stop()]);
      await reports.stop();
    },
  };
}

/** Nobody waits for the answer: what can never be made is told as a fork that failed. */
async function run(ctx: Context, order: ForkOrder, delivery: Delivery): Promise<void> {
  try {
    await admit(ctx, order);
  } catch (error) {
    const reason = refusalOf(error) ?? (delivery.attempt >= RunFork.deliveriesMax ? "gave_up" : null);
    if (reason === null) throw error;
    const { forkId, orgId, spec } = order;
    ctx.logger.warn({ err: error, forkId, orgId, reason }, "a fork that was ordered on the bus cannot be made");
    const at = ctx.clock.now();
    const ended = { forkId, orgId, state: "failed" as const, reason, counts: REFUSED_COUNTS(spec.count), winner: null, at };
    await ctx.bus.emit(ForkEnded, forkId, ended, { dedupeId: `${forkId}.refused` });
  }
}
