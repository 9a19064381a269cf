import { isFault } from "@banyan/contracts";
import { forEachAtMost } from "@banyan/service";
import { archive } from "../archive.ts";
import type { Context } from "../context.ts";
import { DRAINED, MOVING } from "../domain/moving.ts";
import type { Sandbox } from "../domain/sandbox.ts";
import { stopOn } from "../node-calls.ts";
import { goOn } from "./start-moving.ts";

const BATCH_MAX = 200;
const PARALLEL = 4;
const GRACE_MS = 10_000;
const STOP_DEADLINE_MS = 30_000;

/**
 * Empties nodes that are drained: what runs is stopped, what is stopped is archived. What is to go on elsewhere is stopped as `moving` and started
 * there, by the loop of those where it does not work at once. Each step is found again in the rows, so an interruption costs nothing but time.
 */
export async function drainNodes(ctx: Context, ending: AbortSignal): Promise<boolean> {
  const modes = new Map(ctx.nodes.draining());
  if (modes.size === 0) return false;
  const due: { id: string; nodeId: string; mode: "move" | "stop" }[] = [];
  const nowMs = ctx.clock.monotonicMs();
  for (const { id, nodeId, state } of ctx.ledger.entries()) {
    const mode = nodeId === null ? undefined : modes.get(nodeId);
    if (nodeId === null || mode === undefined || (state !== "running" && state !== "stopped")) continue;
    if (!ctx.nodes.isListable(nodeId) || !ctx.moves.isDue(id, nowMs) || ctx.lanes.isBusy(id)) continue;
    due.push({ id, nodeId, mode });
    if (due.length === BATCH_MAX) break;
  }
  await forEachAtMost(due, PARALLEL, async ({ id, nodeId, mode }) => {
    // It may have been uncordoned since the round began.
    if (ctx.nodes.wishOf(nodeId).draining === null || ending.aborted) return;
    try {
      const stopped = await ctx.lanes.run(id, (signal) => stopFor(ctx, id, nodeId, mode, signal));
      if (stopped === null) return;
      await archive(ctx, stopped, { signal: ending });
      ctx.moves.done(id);
      if (stopped.stateReason === MOVING) await goOn(ctx, stopped, nodeId, ending);
    } catch (error) {
      if (ending.aborted) return;
      // Somebody else has done something with it: the next round sees it as it is then.
      if (isFault(error, "sandbox.version_conflict", "sandbox.illegal_transition", "sandbox.not_found")) return;
      ctx.logger.warn({ err: error, sandboxId: id, nodeId }, "a sandbox does not leave the node that is emptied");
      ctx.moves.failed(id, nodeId, error, ctx.clock.monotonicMs());
    }
  });
  return due.length === BATCH_MAX;
}

/** The sandbox stopped with its disk, or null where there is nothing to archive there. */
async function stopFor(ctx: Context, id: string, nodeId: string, mode: "move" | "stop", signal: AbortSignal): Promise<Sandbox | null> {
  const sandbox = await ctx.sandboxes.peek(id);
  if (sandbox === null) return null;
  ctx.ledger.follow(sandbox);
  if (sandbox.nodeId !== nodeId) return null;
  if (sandbox.state === "stopped") return sandbox;
  if (sandbox.state !== "running") return null;
  const deadlineAt = ctx.clock.now() + STOP_DEADLINE_MS;
  // A child of a fork goes on in another child, if its fork retries it, and not without its command.
  const moves = mode === "move" && !ctx.forks.book.awaitsReport(id);
  const stopping = await ctx.sandboxes.apply(sandbox, { kind: "stop", deadlineAt, reason: moves ? MOVING : DRAINED });
  await stopOn(ctx, { sandbox: stopping, graceMs: GRACE_MS, idleSince: null, signal });
  return ctx.sandboxes.apply(stopping, { kind: "stopped", epoch: stopping.epoch });
}
