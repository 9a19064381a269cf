import { forEachAtMost } from "@banyan/service";
import type { Context } from "../context.ts";
import { type Due, dueOf } from "../domain/lifetime.ts";
import type { Sandbox } from "../domain/sandbox.ts";
import { stopOn } from "../node-calls.ts";
import { remove } from "../remove.ts";

const BATCH_MAX = 200;
const PARALLEL = 8;
const GRACE_MS = 1_000;
const DEADLINE_MS = 15_000;

/** Stops or deletes what is idle or expired. Idleness is asked of the node once more: it knows of a use that is a moment old. */
export async function endLifetimes(ctx: Context): Promise<boolean> {
  const now = ctx.clock.now();
  const due: Due[] = [];
  for (const entry of ctx.ledger.entries()) {
    const found = dueOf(entry, now, (nodeId) => ctx.nodes.reachableSince(nodeId));
    if (found === null || ctx.lanes.isBusy(entry.id)) continue;
    if (entry.nodeId !== null && found.action === "stop" && !ctx.nodes.isReachable(entry.nodeId)) continue;
    due.push(found);
    if (due.length === BATCH_MAX) break;
  }
  await forEachAtMost(due, PARALLEL, (found) => ctx.lanes.run(found.id, () => end(ctx, found)));
  return due.length === BATCH_MAX;
}

async function end(ctx: Context, due: Due): Promise<void> {
  const sandbox = await ctx.sandboxes.peek(due.id);
  if (sandbox === null) return ctx.ledger.remove(due.id);
  ctx.ledger.follow(sandbox);
  // Looked at again, now that nothing else is under way for it.
  const still = dueOf({ ...sandbox, lifetime: sandbox.spec.lifetime }, ctx.clock.now(), (nodeId) => ctx.nodes.reachableSince(nodeId));
  if (still === null) return;
  ctx.logger.info({ sandboxId: sandbox.id, why: still.why, action: still.action }, "a sandbox has come to the end of its lifetime");
  if (still.why === "idle") return endIdle(ctx, sandbox, still);
  if (still.action === "delete") return void (await remove(ctx, sandbox, still.why));
  const stopping = await ctx.sandboxes.apply(sandbox, { kind: "stop", deadlineAt: ctx.clock.now() + DEADLINE_MS, reason: still.why });
  await stopOn(ctx, { sandbox: stopping, graceMs: GRACE_MS, idleSince: null });
  ctx.sandboxes.applyLater(stopping, { kind: "stopped", epoch: stopping.epoch });
}

/** The node first, the row after it: what turned out to be in use has never been stopping. */
async function endIdle(ctx: Context, sandbox: Sandbox, { action, idleSince }: Due): Promise<void> {
  const outcome = await stopOn(ctx, { sandbox, graceMs: GRACE_MS, idleSince });
  if (outcome === "active") return void ctx.ledger.touch(sandbox.id, ctx.clock.now());
  if (action === "delete") return void (await remove(ctx, sandbox, "idle"));
  const deadlineAt = ctx.clock.now() + DEADLINE_MS;
  ctx.sandboxes.applyLater(sandbox, { kind: "stop", deadlineAt, reason: "idle" }, { kind: "stopped", epoch: sandbox.epoch });
}
