import { forEachAtMost } from "@banyan/service";
import type { Context } from "../context.ts";
import { remove } from "../remove.ts";

const BATCH_MAX = 100;
const PARALLEL = 8;
const RETRY_AFTER_MS = 10_000;

/** Deletes that a node has not answered to yet. A lost node is not waited for: what it has when it returns is an orphan. */
export async function finishDeletes(ctx: Context): Promise<boolean> {
  const now = ctx.clock.now();
  const due = await ctx.store.listDeleting(now, BATCH_MAX);
  // Before the tries, so that those whose node is away do not stand before the others in the next round.
  await ctx.store.deferDeadlines(
    due.map(({ id }) => id),
    now + RETRY_AFTER_MS,
  );
  await forEachAtMost(due, PARALLEL, async ({ id, nodeId }) => {
    if (ctx.lanes.isBusy(id)) return;
    const lost = nodeId === null || ctx.nodes.silentMs(nodeId) >= ctx.config.nodeLostAfterMs;
    if (!lost && !ctx.nodes.isReachable(nodeId)) return;
    await ctx.lanes.run(id, async () => {
      const sandbox = await ctx.sandboxes.peek(id);
      if (sandbox?.state !== "deleting") return;
      if (lost) await ctx.sandboxes.apply(sandbox, { kind: "deleted" });
      else await remove(ctx, sandbox, null);
    });
  });
  return due.length === BATCH_MAX;
}
