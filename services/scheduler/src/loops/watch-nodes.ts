import { type InputOf, isFault, NODE_LEASE_MS, NODES_BUCKET, NodeHeartbeat, type NodeView, type SandboxDied } from "@banyan/contracts";
import type { Context } from "../context.ts";
import { lostWithNode } from "../domain/decide.ts";
import type { Activity } from "./record-activity.ts";

/** Keeps the view of the nodes by their heartbeats; what these say of activity goes with it. */
export async function watchNodes(ctx: Context, activity: Activity): Promise<{ stop(): void }> {
  const offStatus = ctx.bus.onStatus((status) => {
    if (status === "connected") ctx.nodes.excuse();
  });
  const bucket = ctx.bus.kv(NODES_BUCKET, { ttlMs: NODE_LEASE_MS, schema: NodeHeartbeat });
  const watching = await bucket.watch(({ key, value }) => {
    if (value === null) return ctx.nodes.leave(key);
    sayStores(ctx, ctx.nodes.view(value.nodeId)?.stores ?? [], value);
    ctx.nodes.beat(value);
    for (const { sandboxId, at } of value.activity) {
      if (ctx.ledger.get(sandboxId)?.nodeId === value.nodeId) activity.note(ctx, sandboxId, at);
    }
  });
  return {
    stop() {
      offStatus();
      watching.stop();
    },
  };
}

/** What a node has lost takes nothing new of it until it is back; what runs there stays. */
function sayStores({ logger }: Context, before: NodeView["stores"], { nodeId, stores }: NodeHeartbeat): void {
  for (const { store, state, reason } of stores) {
    const was = before.find((one) => one.store === store)?.state ?? "ok";
    if (was === "ok" && state === "lost") logger.warn({ nodeId, store, reason }, "a node has lost a store of volumes");
    if (was === "lost" && state === "ok") logger.info({ nodeId, store }, "a node reaches a store of volumes again");
  }
}

/** A slot ended by itself. Late or doubled news of an earlier run is no news. */
export async function onDied(ctx: Context, { sandboxId, nodeId, epoch, reason }: InputOf<typeof SandboxDied>): Promise<void> {
  await ctx.lanes.run(sandboxId, async () => {
    const sandbox = await ctx.sandboxes.peek(sandboxId);
    if (sandbox?.nodeId !== nodeId || sandbox.epoch !== epoch || sandbox.state !== "running") return;
    await ctx.sandboxes.apply(sandbox, { kind: "died", epoch, reason });
  });
}

const LOST_BATCH_MAX = 200;

/** Ends leases; a node that stays silent too long is given up, and what ran there has failed. */
export async function expireNodes(ctx: Context): Promise<boolean> {
  // Deaf ourselves: the nodes' silence is ours.
  if (!ctx.bus.connected) return false;
  for (const nodeId of ctx.nodes.expire()) ctx.logger.warn({ nodeId }, "a node stopped answering; its sandboxes keep their state");
  const lost: { id: string; starting: boolean }[] = [];
  const isLost = new Map<string, boolean>();
  for (const { id, nodeId, state } of ctx.ledger.entries()) {
    if (nodeId === null || ctx.nodes.isReachable(nodeId)) continue;
    if (state !== "running" && state !== "starting" && state !== "stopping") continue;
    // Its fork gives it up, and may make it anew.
    if (ctx.forks.book.owns(id)) continue;
    const gone = isLost.get(nodeId) ?? ctx.nodes.silentMs(nodeId) >= ctx.config.nodeLostAfterMs;
    isLost.set(nodeId, gone);
    if (!gone || ctx.lanes.isBusy(id)) continue;
    lost.push({ id, starting: state === "starting" });
    if (lost.length === LOST_BATCH_MAX) break;
  }
  for (const { id } of lost) await ctx.lanes.run(id, () => markLost(ctx, id));
  return lost.length === LOST_BATCH_MAX;
}

async function markLost(ctx: Context, id: string): Promise<void> {
  const sandbox = await ctx.sandboxes.peek(id);
  if (sandbox === null) return ctx.ledger.remove(id);
  ctx.ledger.follow(sandbox);
  if (sandbox.nodeId !== null && ctx.nodes.isReachable(sandbox.nodeId)) return;
  try {
    await ctx.sandboxes.apply(sandbox, lostWithNode(sandbox));
  } catch (error) {
    if (!isFault(error, "sandbox.illegal_transition")) throw error;
  }
}
