import { CancelFork, fault } from "@banyan/contracts";
import { handle } from "../context.ts";
import { forkOf, hasEnded } from "../domain/fork.ts";
import { findFork } from "./get-fork.ts";

const RETRY_AFTER_MS = 5_000;

export const cancelFork = handle(CancelFork, async (ctx, input) => {
  const { forkId, deleteChildren: deletesAll } = input;
  await findFork(ctx, input);
  await ctx.forks.cancel(forkId, { reason: "cancelled", deletesAll });
  const fork = await findFork(ctx, input);
  // It is being read anew from its rows: nobody was there to hear it.
  if (!hasEnded(fork.state) && fork.state !== "ending") throw fault("database.unavailable", { retryAfterMs: RETRY_AFTER_MS });
  // What had ended before is out of the engine's hands.
  if (deletesAll && hasEnded(fork.state)) await ctx.store.deleteForkChildren(forkId, ctx.clock.now());
  return { fork: forkOf(fork) };
});
