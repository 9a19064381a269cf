import { fault, isFault, RemoveNode } from "@banyan/contracts";
import { forEachAtMost } from "@banyan/service";
import { type Context, handle } from "../context.ts";
import { lostWithNode } from "../domain/decide.ts";

const PAGE = 500;
const PARALLEL = 8;
/** Of the caller's time: a call that is repeated goes on. */
const END_MARGIN_MS = 3_000;

/** A node that answers is emptied and ended first: what is told of it here would not be true. */
export const removeNode = handle(RemoveNode, async (ctx, { nodeId, force }, request) => {
  const held = await ctx.store.listOnNode(nodeId, "", PAGE);
  if (ctx.nodes.view(nodeId) === null && held.length === 0 && !ctx.nodes.wishOf(nodeId).cordoned) throw fault("node.not_found", { nodeId });
  if (held.length > 0 && (!force || ctx.nodes.isReachable(nodeId)))
    throw fault("node.in_use", { nodeId, sandboxes: held.length, reachable: ctx.nodes.isReachable(nodeId) });
  // What was on its way there is not waited for any more.
  ctx.forks.nodeLost(nodeId);
  const endsMs = ctx.clock.monotonicMs() + request.deadlineMs - END_MARGIN_MS;
  let lost = 0;
  let after = "";
  for (;;) {
    const page = await ctx.store.listOnNode(nodeId, after, PAGE);
    await forEachAtMost(page, PARALLEL, async ({ id }) => {
      if (await lose(ctx, nodeId, id)) lost++;
    });
    const last = page.at(-1);
    if (last === undefined || page.length < PAGE) break;
    after = last.id;
    if (ctx.clock.monotonicMs() >= endsMs)
      throw fault("node.in_use", { nodeId, lost, retryAfterMs: 100 }, { message: "More is left: repeat this." });
  }
  await ctx.store.removeNodeWish(nodeId);
  ctx.nodes.forget(nodeId);
  ctx.forks.nodeLost(nodeId);
  ctx.moves.forget(nodeId);
  ctx.logger.warn({ nodeId, lost }, "a node was removed");
  return { lost };
});

/** Answers whether a sandbox was lost by it. Should its node come back, it is taken back as what it is then. */
async function lose(ctx: Context, nodeId: string, id: string): Promise<boolean> {
  return ctx.lanes.run(id, async () => {
    const sandbox = await ctx.sandboxes.peek(id);
    if (sandbox?.nodeId !== nodeId) return false;
    try {
      const isGoing = sandbox.state === "deleting";
      await ctx.sandboxes.apply(sandbox, isGoing ? { kind: "deleted" } : lostWithNode(sandbox));
      return !isGoing;
    } catch (error) {
      if (!isFault(error, "sandbox.illegal_transition", "sandbox.version_conflict")) throw error;
      return false;
    }
  });
}
