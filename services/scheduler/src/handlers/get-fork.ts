import { fault, GetFork } from "@banyan/contracts";
import { type Context, handle } from "../context.ts";
import { type ForkRow, forkOf } from "../domain/fork.ts";

export const getFork = handle(GetFork, async (ctx, ref) => ({ fork: forkOf(await findFork(ctx, ref)) }));

/** Another organisation's is not found. */
export async function findFork(ctx: Context, { orgId, forkId }: { orgId: string; forkId: string }): Promise<ForkRow> {
  const row = await ctx.store.readFork(forkId);
  if (row === null || row.orgId !== orgId) throw fault("fork.not_found", { id: forkId });
  return row;
}
