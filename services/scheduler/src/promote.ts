import { fault, type InputOf, isFault, NodeCompare, type OutputOf, type PromoteSandbox } from "@banyan/contracts";
import { giveUpDisk } from "./archive.ts";
import type { Context } from "./context.ts";
import { MOVING } from "./domain/moving.ts";
import { parentChange } from "./domain/parent-change.ts";
import type { Sandbox, Stack } from "./domain/sandbox.ts";
import { ofItsFiles, snapshotOn, stopOn } from "./node-calls.ts";
import { startStopped } from "./start.ts";

/** Of the caller's time: for the switch, once the files are shipped. */
const SWITCH_MARGIN_MS = 30_000;
const GRACE_MS = 1_000;
const STOP_DEADLINE_MS = 15_000;
const SLOT_WAIT_MS = 10_000;

type Input = InputOf<typeof PromoteSandbox>;
type Answer = OutputOf<typeof PromoteSandbox>;

/**
 * The child's files are in the blob store before anything happens to the parent; then one transition of its row puts it on them. Before that
 * transition it is what it was, after it what the child is, wherever an interruption falls; one that ran is started again by the loop of what is
 * stopped only to go on.
 */
export async function promote(ctx: Context, { orgId, id, force }: Input, deadlineMs: number): Promise<Answer> {
  const child = assertAtRest(await ctx.sandboxes.find({ orgId, id }));
  const parent = assertAtRest(await parentOf(ctx, child));
  if (!force) await assertUnchanged(ctx, child, parent);
  const stack = await stackOf(ctx, child, Math.max(1, deadlineMs - SWITCH_MARGIN_MS));
  const ran = await ctx.lanes
    .run(parent.id, (signal) => switchOver(ctx, { child, parent, stack, force }, signal))
    .catch(async (error) => {
      // It was stopped before that showed: it goes on from its own files.
      if (isFault(error, "fork.parent_changed")) await goOn(ctx, parent, child);
      throw error;
    });
  if (ran) await goOn(ctx, parent, child);
  const { state, epoch } = await ctx.sandboxes.find(parent);
  ctx.logger.info({ sandboxId: parent.id, childId: id, state, epoch }, "a child was promoted");
  return { parentId: parent.id, childId: id, state: state === "running" ? "running" : "stopped", epoch };
}

async function parentOf(ctx: Context, { id, orgId, origin }: Sandbox): Promise<Sandbox> {
  const parentId = origin?.parentId ?? null;
  if (parentId === null) throw fault("fork.no_parent", { id });
  try {
    return await ctx.sandboxes.find({ orgId, id: parentId });
  } catch (error) {
    throw isFault(error, "sandbox.not_found") ? fault("fork.no_parent", { id, parentId }) : error;
  }
}

function assertAtRest(sandbox: Sandbox): Sandbox {
  const { id, state, epoch } = sandbox;
  if (state !== "running" && state !== "stopped") throw fault("sandbox.illegal_transition", { id, state, epoch, command: "promote" });
  return sandbox;
}

const unknownChange = (why: string) =>
  fault("fork.parent_changed", { changed: [], why }, { message: `Whether the parent's files have changed cannot be told: ${why}.` });

/** What nobody can compare any more counts as changed. */
async function assertUnchanged(ctx: Context, { origin }: Sandbox, parent: Sandbox): Promise<void> {
  const base = origin === null ? null : await ctx.store.readForkBase(origin.forkId);
  const seen = parentChange(parent, base);
  if (seen.kind === "unchanged") return;
  if (seen.kind === "unknown") throw unknownChange(seen.why);
  for (const frozen of seen.layers) {
    const compared = await compare(ctx, parent, frozen);
    if (compared === null) continue;
    if (compared.count > 0) throw fault("fork.parent_changed", { changed: compared.changed, count: compared.count });
    return;
  }
  throw unknownChange("its node does not keep the files of that moment any more");
}

/** Null where the parent's node cannot have this layer. */
async function compare(ctx: Context, parent: Sandbox, frozen: string): Promise<OutputOf<typeof NodeCompare> | null> {
  try {
    return await ofItsFiles(ctx, parent, (nodeId, epoch) => ctx.bus.call(NodeCompare.on(nodeId), { sandboxId: parent.id, epoch, frozen }));
  } catch (error) {
    if (isFault(error, "layer.unavailable")) return null;
    throw error;
  }
}

async function stackOf(ctx: Context, child: Sandbox, deadlineMs: number): Promise<Stack> {
  if (!child.hasDisk) return child.stack;
  const { layers } = await snapshotOn(ctx, child, { deadlineMs });
  return { ...child.stack, layers };
}

interface Switch {
  child: Sandbox;
  parent: Sandbox;
  stack: Stack;
  force: boolean;
}

/** In the parent's lane. Answers whether it ran. */
async function switchOver(ctx: Context, { child, parent, stack, force }: Switch, signal: AbortSignal): Promise<boolean> {
  const now = assertAtRest(await ctx.sandboxes.find(parent));
  // Another run, or other files, than those that were compared.
  if (!force && (now.epoch !== parent.epoch || now.hasDisk !== parent.hasDisk))
    throw fault("sandbox.version_conflict", { state: now.state, epoch: now.epoch, command: "promote" });
  const ran = now.state === "running";
  // Unforced it is killed: what it writes at its end would be a change, and is to be given up either way.
  const stopped = ran ? await stop(ctx, now, force ? GRACE_MS : 0, signal) : now;
  // What it wrote since it was compared; now nothing writes any more.
  if (!force) await assertUnchanged(ctx, child, stopped);
  const { epoch, nodeId } = stopped;
  const promotion = { childId: child.id, forced: force };
  await ctx.sandboxes.apply(stopped, { kind: "promoted", epoch, stack, promotion, reason: ran ? MOVING : null });
  if (nodeId !== null) giveUpDisk(ctx, nodeId, { sandboxId: parent.id, epoch });
  return ran;
}

/** It goes on from its own files if nothing comes after this. */
async function stop(ctx: Context, running: Sandbox, graceMs: number, signal: AbortSignal): Promise<Sandbox> {
  const deadlineAt = ctx.clock.now() + STOP_DEADLINE_MS;
  const stopping = await ctx.sandboxes.apply(running, { kind: "stop", deadlineAt, reason: MOVING });
  await stopOn(ctx, { sandbox: stopping, graceMs, idleSince: null, signal });
  return ctx.sandboxes.apply(stopping, { kind: "stopped", epoch: stopping.epoch });
}

/** Where it does not start now, the loop goes on with it: it is promoted all the same. */
async function goOn(ctx: Context, { id, orgId }: Sandbox, child: Sandbox): Promise<void> {
  const near = child.nodeId === null ? {} : { near: child.nodeId };
  try {
    await startStopped(ctx, { id, orgId, quota: null, deadlineMs: SLOT_WAIT_MS, archiveWaitMs: 0, reason: MOVING, ...near });
  } catch (err) {
    // The loop was quicker, or its owner has done something else with it.
    if (isFault(err, "sandbox.illegal_transition", "sandbox.version_conflict", "sandbox.not_found")) return;
    ctx.logger.warn({ err, sandboxId: id }, "a sandbox that was promoted waits for its start");
  }
}
