import { fault, isFault, type OutputOf, type Quota, type StartSandbox } from "@banyan/contracts";
import type { AppError } from "@banyan/kernel";
import { archive } from "./archive.ts";
import type { Context } from "./context.ts";
import type { Mounts } from "./domain/mounts.ts";
import { amountsOf, place } from "./domain/place.ts";
import { shortageOf } from "./domain/quota.ts";
import type { Sandbox } from "./domain/sandbox.ts";
import { started } from "./handlers/started.ts";
import { askedOf, type Flight, type Launched, launch, placementFault } from "./launch.ts";
import { resolveMounts } from "./mounts.ts";
import { nodeOf, stopOn } from "./node-calls.ts";

/** Each more is for a reason that the one before has removed: an epoch that was used up, a disk that was in the way. */
const ROUNDS_MAX = 4;
/** Until a disk that takes longer to leave its node has left it. */
const LEAVING_RETRY_MS = 2_000;

export interface StartWish {
  orgId: string;
  id: string;
  /** Null: whoever wants it started has counted it already. */
  quota: Quota | null;
  /** How long it may wait for a slot. */
  deadlineMs: number;
  /** How long it may wait for its files to leave a node that cannot start it. */
  archiveWaitMs: number;
  /** Taken before others where it has room: it has the files. */
  near?: string;
  /** Why it is stopped again where the start comes to nothing; default: what came of it. */
  reason?: string;
  /** Aborts when this process ends: files that are on their way are not waited for. */
  signal?: AbortSignal;
}

type Answer = OutputOf<typeof StartSandbox>;
/** stale: the epoch was used up; leave: its node cannot have it, and another could. */
type Outcome = { kind: "started"; answer: Answer } | { kind: "stale" } | { kind: "leave"; refusal: AppError };

/** On its disk where it has one; without, wherever there is room. A disk whose node cannot start it leaves that first. */
export async function startStopped(ctx: Context, wish: StartWish): Promise<Answer> {
  const beganMs = ctx.clock.monotonicMs();
  let slotWaitEndsMs = beganMs + wish.deadlineMs;
  for (let left = ROUNDS_MAX - 1; ; left--) {
    const outcome = await ctx.lanes.run(wish.id, (signal) => find(ctx, wish, { beganMs, slotWaitEndsMs }, signal));
    if (outcome.kind === "started") return outcome.answer;
    if (left === 0) throw outcome.kind === "leave" ? outcome.refusal : fault("sandbox.version_conflict", { reason: "stale_epoch" });
    if (outcome.kind === "stale") continue;
    await leave(ctx, wish, beganMs, outcome.refusal);
    slotWaitEndsMs = ctx.clock.monotonicMs() + wish.deadlineMs;
  }
}

/** Not in the lane: a delete or a start on the old node need not wait for it. */
async function leave(ctx: Context, wish: StartWish, beganMs: number, refusal: AppError): Promise<void> {
  const waitMs = beganMs + wish.archiveWaitMs - ctx.clock.monotonicMs();
  const archived = archive(ctx, wish, wish.signal === undefined ? {} : { signal: wish.signal });
  const waiting = new AbortController();
  const late = ctx.clock.sleep(Math.max(0, waitMs), waiting.signal).then(() => {
    throw fault("node.none_available", { ...refusal.details, reason: "leaving_its_node", retryAfterMs: LEAVING_RETRY_MS });
  });
  late.catch(() => {});
  archived.catch(() => {});
  try {
    await Promise.race([archived, late]);
  } catch (error) {
    if (isFault(error, "snapshot.failed", "layer.unavailable", "node.unreachable")) throw withCause(refusal, error);
    // It was started or stopped meanwhile: the next round sees it as it is now.
    if (!isFault(error, "sandbox.version_conflict", "sandbox.illegal_transition")) throw error;
  } finally {
    waiting.abort();
  }
}

const withCause = (refusal: AppError, cause: unknown): AppError =>
  fault(isFault(refusal, "volume.unreachable") ? "volume.unreachable" : "node.none_available", refusal.details, { cause });

/** Monotonic. */
type Times = Pick<Flight, "beganMs" | "slotWaitEndsMs">;

/** Until its row says that it starts, `mounting` does. */
async function find(ctx: Context, wish: StartWish, times: Times, laneSignal: AbortSignal): Promise<Outcome> {
  const stopped = await ctx.sandboxes.find(wish);
  const { state, epoch, orgId, spec } = stopped;
  if (state !== "stopped") throw fault("sandbox.illegal_transition", { state, epoch, command: "start" });
  const mounting = ctx.mounting.begin(wish.id, spec.volumes);
  try {
    const mounts = await resolveMounts(ctx, orgId, spec.volumes, laneSignal);
    mounting.resolved(mounts.declared);
    return await start(ctx, wish, { ...times, stopped, mounts }, laneSignal);
  } finally {
    mounting.end();
  }
}

interface Found extends Times {
  stopped: Sandbox;
  mounts: Mounts;
}

async function start(ctx: Context, wish: StartWish, { stopped, mounts, ...times }: Found, laneSignal: AbortSignal): Promise<Outcome> {
  // From here to its reservation nothing comes between.
  checkQuota(ctx, stopped, wish.quota);
  const where = stopped.hasDisk ? atItsDisk(ctx, stopped, mounts) : anywhere(ctx, stopped, mounts, wish.near);
  if (where.kind === "leave") return where;
  const change = ctx.sandboxes.decide(stopped, {
    kind: "start",
    deadlineAt: ctx.clock.now() + wish.deadlineMs + ctx.config.startMarginMs,
    ...(stopped.hasDisk ? {} : { nodeId: where.nodeId }),
    ...(wish.reason !== undefined && { reason: wish.reason }),
  });
  const starting = change.next;
  ctx.ledger.follow(starting);
  const ending = new AbortController();
  const end = (): void => ending.abort(laneSignal.reason);
  laneSignal.addEventListener("abort", end, { once: true });
  const written = ctx.sandboxes.write(stopped, change);
  written.catch((error) => ending.abort(error));
  const { hasDisk: bound } = stopped;
  const flight: Flight = { sandbox: starting, written, mounts, ...times, elsewhere: where.elsewhere, bound, signal: ending.signal };
  try {
    const launched = await launch(ctx, flight);
    await flight.written;
    if (launched.kind === "failed") return giveUp(ctx, flight, launched);
    const running = ctx.sandboxes.applyLater(flight.sandbox, { kind: "started", epoch: starting.epoch, launch: launched.launch });
    return { kind: "started", answer: started(ctx, running, launched.launch) };
  } catch (error) {
    if (ctx.ledger.get(wish.id)?.state === "starting") await undo(ctx, stopped, flight);
    throw error;
  } finally {
    laneSignal.removeEventListener("abort", end);
  }
}

/** It counts as a sandbox already: what it needs more is cpu, memory and a place among the running. */
function checkQuota(ctx: Context, { orgId, spec }: Sandbox, quota: Quota | null): void {
  if (quota === null) return;
  const { cpu, memoryMb } = spec.resources;
  const shortage = shortageOf(ctx.ledger.usage(orgId), { sandboxes: 0, cpu, memoryMb }, quota);
  if (shortage !== null) throw fault("sandbox.quota_exceeded", { ...shortage });
}

type Where = { kind: "placed"; nodeId: string; elsewhere: boolean } | Extract<Outcome, { kind: "leave" }>;

function anywhere(ctx: Context, sandbox: Sandbox, mounts: Mounts, near: string | undefined): Where {
  const asked = askedOf(sandbox, mounts);
  const nearest = near === undefined ? null : ctx.nodes.candidate(near);
  const first = nearest !== null && nearest.slotsFree > 0 ? place([nearest], asked, ctx.random) : null;
  const placement = first?.kind === "placed" ? { ...first, elsewhere: true } : place(ctx.nodes.candidates(), asked, ctx.random);
  if (placement.kind === "placed") return placement;
  throw placementFault(placement, sandbox, mounts);
}

/** Where its disk is; elsewhere where that node is full, cordoned or without the stores of its volumes, and another one has room. A cordoned node that is not emptied still starts its own. */
function atItsDisk(ctx: Context, sandbox: Sandbox, mounts: Mounts): Where {
  const nodeId = nodeOf(sandbox);
  const node = ctx.nodes.candidate(nodeId);
  if (node === null || !node.reachable) throw fault("node.unreachable", { nodeId });
  // Its disk is counted there already.
  const amounts = { ...amountsOf(sandbox.spec.resources), diskMb: 0 };
  const here = place([{ ...node, cordoned: false }], { amounts, stores: mounts.stores }, ctx.random);
  if (here.kind === "placed" && !node.cordoned) return { ...here, elsewhere: false };
  const unplaced = here.kind === "placed" ? { kind: "none_available" as const, retryAfterMs: LEAVING_RETRY_MS } : here;
  const refusal = placementFault(unplaced, sandbox, mounts, { nodeId });
  if (node.state === "ready" && hasRoomElsewhere(ctx, sandbox, mounts)) return { kind: "leave", refusal };
  if (here.kind === "placed" && ctx.nodes.wishOf(nodeId).draining === null) return { ...here, elsewhere: false };
  throw refusal;
}

const hasRoomElsewhere = (ctx: Context, sandbox: Sandbox, mounts: Mounts): boolean =>
  place(ctx.nodes.candidates(), { ...askedOf(sandbox, mounts), excluded: new Set([nodeOf(sandbox)]) }, ctx.random).kind === "placed";

type Failed = Extract<Launched, { kind: "failed" }>;

function giveUp(ctx: Context, { sandbox, mounts }: Flight, { error, refusal, certain }: Failed): Outcome {
  const { epoch } = sandbox;
  if (refusal?.reason === "no_disk") ctx.sandboxes.applyLater(sandbox, { kind: "failed", epoch, reason: "disk_lost" });
  // Else the node may still start it: the row keeps its deadline, and the reconciliation asks what came of it.
  else if (certain) ctx.sandboxes.applyLater(sandbox, { kind: "gave_up", epoch, reason: error.code });
  if (refusal?.reason === "stale_epoch") return { kind: "stale" };
  const isOfItsNode = refusal?.reason === "capacity" || isFault(error, "volume.unreachable");
  if (isOfItsNode && sandbox.hasDisk && hasRoomElsewhere(ctx, sandbox, mounts)) return { kind: "leave", refusal: error };
  throw error;
}

/** Ended from outside: the row could not be written, or a delete came. The node must not go on with this epoch. */
async function undo(ctx: Context, stopped: Sandbox, { sandbox, written }: Flight): Promise<void> {
  const isWritten = await written.then(
    () => true,
    () => false,
  );
  if (!isWritten) ctx.ledger.follow(stopped);
  // Not waited for: if it does not arrive, the reconciliation stops what runs without a row that says so.
  stopOn(ctx, { sandbox, graceMs: 0, idleSince: null }).catch((err) =>
    ctx.logger.warn({ err, sandboxId: sandbox.id, nodeId: sandbox.nodeId }, "a start that was ended may go on"),
  );
}
