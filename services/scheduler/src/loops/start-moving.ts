import { isFault } from "@banyan/contracts";
import { forEachAtMost } from "@banyan/service";
import type { Context } from "../context.ts";
import { MOVING } from "../domain/moving.ts";
import { startStopped } from "../start.ts";
import type { Moving } from "../store/list-moving.ts";

const BATCH_MAX = 1_000;
const PARALLEL = 8;
/** Then its owner has found it stopped long ago, and it stays so. */
const GIVEN_UP_AFTER_MS = 3_600_000;
const SLOT_WAIT_MS = 15_000;
const ARCHIVE_WAIT_MS = 60_000;

/** Starts what was stopped only to go on. Its quota is not asked: it ran a moment ago. */
export async function startMoving(ctx: Context, signal: AbortSignal): Promise<boolean> {
  const moving = await ctx.store.listMoving(ctx.clock.now() - GIVEN_UP_AFTER_MS, BATCH_MAX);
  const nowMs = ctx.clock.monotonicMs();
  const due = moving.filter((one) => isReady(ctx, one, nowMs));
  await forEachAtMost(due, PARALLEL, (one) => goOn(ctx, one, one.nodeId, signal));
  return false;
}

/** On a node that is emptied it is archived first; on one that is away it waits. */
function isReady(ctx: Context, { id, nodeId }: Moving, nowMs: number): boolean {
  if (!ctx.moves.isDue(id, nowMs) || ctx.lanes.isBusy(id)) return false;
  return nodeId === null || (ctx.nodes.isReachable(nodeId) && ctx.nodes.wishOf(nodeId).draining === null);
}

/** `from`: the node that is told of a failure; null: the one that an earlier failure named. */
export async function goOn(
  ctx: Context,
  { id, orgId }: Pick<Moving, "id" | "orgId">,
  from: string | null,
  signal: AbortSignal,
): Promise<void> {
  if (signal.aborted) return;
  try {
    const wish = { id, orgId, quota: null, deadlineMs: SLOT_WAIT_MS, archiveWaitMs: ARCHIVE_WAIT_MS, reason: MOVING, signal };
    const { sandbox } = await startStopped(ctx, wish);
    ctx.moves.done(id);
    ctx.logger.info({ sandboxId: id, nodeId: sandbox.nodeId }, "a sandbox goes on");
  } catch (error) {
    if (signal.aborted) return;
    if (isFault(error, "sandbox.version_conflict", "sandbox.illegal_transition", "sandbox.not_found")) return ctx.moves.done(id);
    ctx.logger.warn({ err: error, sandboxId: id }, "a sandbox that was moved does not start");
    ctx.moves.failed(id, from, error, ctx.clock.monotonicMs());
  }
}
