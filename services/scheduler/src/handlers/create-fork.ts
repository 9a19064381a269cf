import { CreateFork } from "@banyan/contracts";
import { type Context, handle } from "../context.ts";
import { type ForkRow, forkOf } from "../domain/fork.ts";
import { admit } from "../forks/admit.ts";

/** Freezing takes milliseconds, and whoever asked is to hear how it went; what takes longer is not waited for. */
const FREEZE_WAIT_MS = 10_000;

export const createFork = handle(CreateFork, async (ctx, order, request) => {
  const row = await admit(ctx, order);
  return { fork: forkOf(await prepared(ctx, row, Math.min(FREEZE_WAIT_MS, request.deadlineMs / 2), request.signal)) };
});

async function prepared(ctx: Context, row: ForkRow, waitMs: number, signal: AbortSignal): Promise<ForkRow> {
  const endsMs = ctx.clock.monotonicMs() + waitMs;
  for (;;) {
    const leftMs = endsMs - ctx.clock.monotonicMs();
    // From before the row is read: a write that comes in between is not missed.
    const watch = ctx.forks.watch(row.id, Math.max(0, leftMs), signal);
    try {
      const now = (await ctx.store.readFork(row.id)) ?? row;
      if (now.state !== "preparing" || leftMs <= 0 || signal.aborted) return now;
      await watch.changed;
    } finally {
      watch.end();
    }
  }
}
