import {
  fault,
  isFault,
  NODE_PAGE_MAX,
  NodeDelete,
  NodeListSandboxes,
  NodeSnapshot,
  NodeStart,
  NodeStop,
  type OutputOf,
} from "@banyan/contracts";
import { assert } from "@banyan/kernel";
import type { Context } from "./context.ts";
import type { Mounts } from "./domain/mounts.ts";
import type { Listed } from "./domain/reconcile.ts";
import { type Sandbox, startOrder } from "./domain/sandbox.ts";

/** Beyond the wait for a slot: for attaching, and for fetching layers the node lacks. */
const START_CALL_MARGIN_MS = 15_000;
const STOP_CALL_MARGIN_MS = 10_000;
const DELETE_CALL_MS = 10_000;
/** More than any node holds; beyond it the list counts as incomplete. */
const LISTED_MAX = 20_000;

export type StartAnswer = OutputOf<typeof NodeStart>;

export async function startOn(
  ctx: Context,
  sandbox: Sandbox,
  { mounts, slotWaitMs, signal }: { mounts: Mounts; slotWaitMs: number; signal: AbortSignal },
): Promise<StartAnswer> {
  const nodeId = nodeOf(sandbox);
  const settled = ctx.nodes.reserve(nodeId);
  try {
    const order = startOrder(sandbox, mounts.orders, slotWaitMs);
    return await ctx.bus.call(NodeStart.on(nodeId), order, { deadlineMs: order.deadlineMs + START_CALL_MARGIN_MS, signal });
  } catch (error) {
    throw asUnreachable(error, nodeId);
  } finally {
    settled();
  }
}

export async function stopOn(
  ctx: Context,
  { sandbox, graceMs, idleSince, signal }: { sandbox: Sandbox; graceMs: number; idleSince: number | null; signal?: AbortSignal },
): Promise<"stopped" | "active"> {
  const nodeId = nodeOf(sandbox);
  const { id: sandboxId, epoch } = sandbox;
  try {
    const options = { deadlineMs: graceMs + STOP_CALL_MARGIN_MS, ...(signal && { signal }) };
    const { outcome } = await ctx.bus.call(NodeStop.on(nodeId), { sandboxId, epoch, graceMs, idleSince }, options);
    // Where there is nothing to stop, it is stopped; whether its disk is still there is the reconciliation's question.
    return outcome === "active" ? "active" : "stopped";
  } catch (error) {
    throw asUnreachable(error, nodeId);
  }
}

/** A sandbox's files as layers in the blob store, and the whole stack with them. */
export async function snapshotOn(
  ctx: Context,
  sandbox: Sandbox,
  options: { deadlineMs: number; signal?: AbortSignal },
): Promise<OutputOf<typeof NodeSnapshot>> {
  const { id: sandboxId, stack } = sandbox;
  return ofItsFiles(ctx, sandbox, (nodeId, epoch) =>
    ctx.bus.call(NodeSnapshot.on(nodeId), { sandboxId, epoch, layers: stack.layers }, options),
  );
}

/** Asks a node about the disk of a sandbox. Of a stopped one the node may know an earlier run: a start that it refused used up an epoch and changed no file. */
export async function ofItsFiles<T>(ctx: Context, sandbox: Sandbox, ask: (nodeId: string, epoch: number) => Promise<T>): Promise<T> {
  const nodeId = nodeOf(sandbox);
  const { state, epoch } = sandbox;
  if (!ctx.nodes.isReachable(nodeId)) throw fault("node.unreachable", { nodeId });
  const again = (error: unknown): Promise<T> => {
    const known = isFault(error, "sandbox.stale_epoch") ? Number(error.details.epoch) : Number.NaN;
    if (state === "stopped" && known < epoch) return ask(nodeId, known);
    throw error;
  };
  try {
    return await ask(nodeId, epoch).catch(again);
  } catch (error) {
    // It was started or stopped in between.
    if (isFault(error, "sandbox.stale_epoch")) throw fault("sandbox.version_conflict", { epoch }, { cause: error });
    if (isFault(error, "sandbox.not_found")) throw fault("snapshot.failed", { nodeId, reason: "no_disk" }, { cause: error });
    throw asUnreachable(error, nodeId);
  }
}

/** False where the node did not answer. */
export async function deleteOn(ctx: Context, nodeId: string, sandboxId: string, epoch: number): Promise<boolean> {
  if (!ctx.nodes.isReachable(nodeId)) return false;
  const ask = (of: number) => ctx.bus.call(NodeDelete.on(nodeId), { sandboxId, epoch: of }, { deadlineMs: DELETE_CALL_MS });
  try {
    await ask(epoch).catch((error) => {
      // The node has heard of a start whose row could not be written. A delete is the last word, whichever run it ends.
      if (!isFault(error, "sandbox.stale_epoch") || typeof error.details.epoch !== "number") throw error;
      return ask(error.details.epoch);
    });
    return true;
  } catch (error) {
    ctx.logger.warn({ err: error, nodeId, sandboxId, epoch }, "a node did not delete a sandbox; the loop goes on with it");
    return false;
  }
}

/** Everything a node has, or null where there is too much of it to know. */
export async function listOn(ctx: Context, nodeId: string): Promise<Listed[] | null> {
  const listed: Listed[] = [];
  let cursor: string | null = null;
  for (let page = 0; page <= LISTED_MAX / NODE_PAGE_MAX; page++) {
    const answer: OutputOf<typeof NodeListSandboxes> = await ctx.bus.call(NodeListSandboxes.on(nodeId), { cursor });
    listed.push(...answer.sandboxes);
    cursor = answer.nextCursor;
    if (cursor === null) return listed;
  }
  return null;
}

export function nodeOf(sandbox: Sandbox): string {
  assert(sandbox.nodeId !== null, `${sandbox.id} was never placed`);
  return sandbox.nodeId;
}

export function asUnreachable(error: unknown, nodeId: string): unknown {
  return isFault(error, "bus.unavailable", "bus.timeout") ? fault("node.unreachable", { nodeId }, { cause: error }) : error;
}
