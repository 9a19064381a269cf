import { fault, type NodeView } from "@banyan/contracts";
import type { Context } from "./context.ts";
import type { NodeWish } from "./memory/nodes.ts";

/** Written before it holds: what an operator was told of survives a restart. */
export async function wishNode(ctx: Context, nodeId: string, wish: NodeWish): Promise<void> {
  await ctx.store.saveNodeWish(nodeId, wish, ctx.clock.now());
  ctx.nodes.wish(nodeId, wish);
}

export function viewOf(ctx: Context, nodeId: string): NodeView {
  const view = ctx.nodes.view(nodeId);
  if (view === null) throw fault("node.not_found", { nodeId });
  return view;
}
