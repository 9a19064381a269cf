import { fault, RouteSandbox, type SandboxRoute } from "@banyan/contracts";
import { type Context, handle } from "../context.ts";
import type { Sandbox } from "../domain/sandbox.ts";
import { nodeOf } from "../node-calls.ts";

/** From memory where it is known to run, so that sandboxes stay usable while the database is away. */
export const routeSandbox = handle(RouteSandbox, async (ctx, ref) => {
  const entry = ctx.ledger.get(ref.id);
  const known = entry?.orgId === ref.orgId && entry.state === "running" ? entry : await ctx.sandboxes.find(ref);
  const isThere = known.state === "running" || (ref.stopped === true && known.state === "stopped");
  // Of a stopped one without a node all files are in its stack.
  if (!isThere || known.nodeId === null) throw fault("sandbox.not_running", { state: known.state, hasDisk: known.nodeId !== null });
  if (!ctx.nodes.isReachable(known.nodeId)) throw fault("node.unreachable", { nodeId: known.nodeId });
  return route(ctx, known.id, known.orgId, known.nodeId, known.epoch);
});

export const routeOf = (ctx: Context, sandbox: Sandbox): SandboxRoute =>
  route(ctx, sandbox.id, sandbox.orgId, nodeOf(sandbox), sandbox.epoch);

function route(ctx: Context, sandboxId: string, orgId: string, nodeId: string, epoch: number): SandboxRoute {
  const url = ctx.nodes.urlOf(nodeId);
  if (url === null) throw fault("node.unreachable", { nodeId });
  return { sandboxId, orgId, nodeId, url, epoch };
}
