import type { Context } from "../context.ts";

const BATCH_MAX = 1_000;

/** Removes what has been kept long enough. */
export async function purge(ctx: Context): Promise<boolean> {
  const now = ctx.clock.now();
  const sandboxes = await ctx.store.purgeDeleted(now - ctx.config.deletedKeptMs, BATCH_MAX);
  const transitions = await ctx.store.purgeTransitions(now - ctx.config.transitionsKeptMs, BATCH_MAX);
  const snapshots = await ctx.store.purgeSnapshots(now - ctx.config.deletedKeptMs, BATCH_MAX);
  const forks = await ctx.store.purgeForks(now - ctx.config.forksKeptMs, BATCH_MAX);
  return forks || sandboxes === BATCH_MAX || transitions === BATCH_MAX || snapshots === BATCH_MAX;
}
