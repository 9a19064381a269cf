import { ListVolumeUsers } from "@banyan/contracts";
import { handle } from "../context.ts";
import { mergeUsers } from "../domain/volume-users.ts";

/** What is under way first: what has ended since then is in a row by now. */
export const listVolumeUsers = handle(ListVolumeUsers, async (ctx, input) => {
  const underWay = await ctx.mounting.users(input, ctx.clock);
  return mergeUsers(await ctx.store.listVolumeUsers(input), underWay);
});
