import type { Context } from "./context.ts";
import type { Sandbox } from "./domain/sandbox.ts";
import { deleteOn } from "./node-calls.ts";

/** When the loop tries again what the node did not answer to. */
const RETRY_AFTER_MS = 10_000;

/** Marks it, has the node delete it, and says how far that came. Inside the sandbox's lane. */
export async function remove(ctx: Context, sandbox: Sandbox, reason: string | null): Promise<"deleting" | "deleted"> {
  const deadlineAt = ctx.clock.now() + RETRY_AFTER_MS;
  const deleting = sandbox.state === "deleting" ? sandbox : await ctx.sandboxes.apply(sandbox, { kind: "delete", deadlineAt, reason });
  const { id, nodeId, epoch } = deleting;
  if (nodeId !== null && !(await deleteOn(ctx, nodeId, id, epoch))) return "deleting";
  ctx.sandboxes.applyLater(deleting, { kind: "deleted" });
  return "deleted";
}
