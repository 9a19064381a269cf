import { DeleteSandbox, fault } from "@banyan/contracts";
import { handle } from "../context.ts";
import { remove } from "../remove.ts";

/** Goes before everything else that is under way for the sandbox, a create or a stop with a long grace included. */
export const deleteSandbox = handle(DeleteSandbox, (ctx, ref) =>
  ctx.lanes.preempt(ref.id, async () => {
    if (await ctx.forks.removeStarting(ref)) return { state: "deleting" };
    const sandbox = (await ctx.sandboxes.peek(ref.id)) ?? (await ctx.sandboxes.find(ref));
    if (sandbox.orgId !== ref.orgId) throw fault("sandbox.not_found", { id: ref.id });
    if (sandbox.state === "deleted") return { state: "deleted" };
    return { state: await remove(ctx, sandbox, null) };
  }),
);
