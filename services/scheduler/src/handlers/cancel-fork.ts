import { CancelFork } from "@banyan/contracts";
import { handle } from "../context.ts";
import { forkOf, hasEnded } from "../domain/fork.ts";
import { findFork } from "./get-fork.ts";

export const cancelFork = handle(CancelFork, async (ctx, input) => {
  const { forkId, deleteChildren: deletesAll } = input;
  await findFork(ctx, input);
  await ctx.forks.cancel(forkId, { reason: "cancelled", deletesAll });
  const fork = await findFork(ctx, input);
  // What had ended before is out of the engine's hands.
  if (deletesAll && hasEnded(fork.state)) await ctx.store.deleteForkChildren(forkId, ctx.clock.now());
  return { fork: forkOf(fork) };
});
