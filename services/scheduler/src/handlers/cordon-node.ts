import { CordonNode } from "@banyan/contracts";
import { handle } from "../context.ts";
import { viewOf, wishNode } from "../node-wishes.ts";

/** To take sandboxes again ends an emptying, too. */
export const cordonNode = handle(CordonNode, async (ctx, { nodeId, cordoned }) => {
  viewOf(ctx, nodeId);
  const draining = cordoned ? ctx.nodes.wishOf(nodeId).draining : null;
  await wishNode(ctx, nodeId, { cordoned, draining });
  return { node: viewOf(ctx, nodeId) };
});
