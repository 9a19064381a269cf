import { CancelFork } from "@banyan/contracts";
import { handle } from "../context.ts";
import { forkOf } from "../domain/fork.ts";
import { findFork } from "./get-fork.ts";

export const cancelFork = handle(CancelFork, async (ctx, input) => {
  await findFork(ctx, input);
  await ctx.forks.cancel(input.forkId, { reason: "cancelled", deletesAll: input.deleteChildren });
  return { fork: forkOf(await findFork(ctx, input)) };
});
