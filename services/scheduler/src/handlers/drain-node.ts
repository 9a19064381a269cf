import { DrainNode, fault } from "@banyan/contracts";
import { handle } from "../context.ts";
import { holdsDisks } from "../domain/moving.ts";
import { viewOf, wishNode } from "../node-wishes.ts";

const FAILED_NAMED_MAX = 100;

/** A wish, which a loop carries out: asked again it only tells how far that has come. */
export const drainNode = handle(DrainNode, async (ctx, { nodeId, mode }) => {
  if (!viewOf(ctx, nodeId).reachable) throw fault("node.unreachable", { nodeId });
  const { draining } = ctx.nodes.wishOf(nodeId);
  if (draining !== mode) await wishNode(ctx, nodeId, { cordoned: true, draining: mode });
  let left = 0;
  for (const entry of ctx.ledger.entries()) if (entry.nodeId === nodeId && holdsDisks(entry.state)) left++;
  const failed = ctx.moves.reasonsOf(nodeId, FAILED_NAMED_MAX).map(({ id: sandboxId, reason }) => ({ sandboxId, reason }));
  return { node: viewOf(ctx, nodeId), left, failed };
});
