import { ListForks } from "@banyan/contracts";
import { handle } from "../context.ts";
import { forkOf } from "../domain/fork.ts";

export const listForks = handle(ListForks, async (ctx, input) => {
  const rows = await ctx.store.listForks(input);
  const page = rows.slice(0, input.limit).map(forkOf);
  return { forks: page, nextCursor: rows.length > input.limit ? (page.at(-1)?.id ?? null) : null };
});
