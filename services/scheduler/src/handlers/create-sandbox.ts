import { CreateSandbox, fault, type InputOf, isFault, type OutputOf, type Resources } from "@banyan/contracts";
import type { AppError } from "@banyan/kernel";
import { type Context, handle } from "../context.ts";
import type { Mounts } from "../domain/mounts.ts";
import { place } from "../domain/place.ts";
import { chargeOf, shortageOf } from "../domain/quota.ts";
import { FIRST_EPOCH, type Sandbox, type Stack } from "../domain/sandbox.ts";
import { askedOf, type Flight, type Launched, launch, placementFault } from "../launch.ts";
import type { Flight as Mounting } from "../memory/mounting.ts";
import { resolveMounts } from "../mounts.ts";
import { deleteOn, nodeOf } from "../node-calls.ts";
import { answerLikeFirst } from "./answer-like-first.ts";
import { started } from "./started.ts";

type Input = InputOf<typeof CreateSandbox>;
type Answer = OutputOf<typeof CreateSandbox>;

export const createSandbox = handle(CreateSandbox, (ctx, input, request) => {
  const first = ctx.creates.get(input.id);
  if (first !== undefined && first.orgId === input.orgId) return first.answer;
  if (first !== undefined || ctx.ledger.get(input.id) !== undefined) return answerLikeFirst(ctx, input, request.deadlineMs);
  const beganMs = ctx.clock.monotonicMs();
  const answer = ctx.lanes.run(input.id, (signal) => create(ctx, input, beganMs, signal)).finally(() => ctx.creates.delete(input.id));
  ctx.creates.set(input.id, { orgId: input.orgId, answer });
  return answer;
});

async function create(ctx: Context, input: Input, beganMs: number, laneSignal: AbortSignal): Promise<Answer> {
  const mounting = ctx.mounting.begin(input.id, input.spec.volumes);
  try {
    return await createMounting(ctx, input, beganMs, { laneSignal, mounting });
  } finally {
    mounting.end();
  }
}

/** Until the row is there, `mounting` says what it will mount. */
async function createMounting(
  ctx: Context,
  input: Input,
  beganMs: number,
  { laneSignal, mounting }: { laneSignal: AbortSignal; mounting: Mounting },
): Promise<Answer> {
  const [stack, mounts] = await Promise.all([
    ctx.images.resolve(input.orgId, input.spec.image),
    resolveMounts(ctx, input.orgId, input.spec.volumes, laneSignal),
  ]);
  mounting.resolved(mounts.declared);
  const spec = { ...input.spec, resources: resourcesOf(input, stack), volumes: mounts.declared };
  const { sandbox, elsewhere } = reserve(ctx, { ...input, spec }, stack, mounts);
  const ending = new AbortController();
  const end = (): void => ending.abort(laneSignal.reason);
  laneSignal.addEventListener("abort", end, { once: true });
  // The row is written while the node starts: whatever comes of either, the loops find the other.
  const written = insert(ctx, sandbox);
  written.catch((error) => ending.abort(error));
  const slotWaitEndsMs = beganMs + input.deadlineMs;
  const flight: Flight = { sandbox, written, mounts, slotWaitEndsMs, beganMs, elsewhere, bound: false, signal: ending.signal };
  try {
    laneSignal.throwIfAborted();
    const launched = await launch(ctx, flight);
    await flight.written;
    if (launched.kind === "failed") throw abandon(ctx, flight.sandbox, launched);
    const running = ctx.sandboxes.applyLater(flight.sandbox, { kind: "started", epoch: FIRST_EPOCH, launch: launched.launch });
    return started(ctx, running, launched.launch);
  } catch (error) {
    if (ctx.ledger.get(input.id)?.state !== "starting") throw error;
    return await undo(ctx, input, flight, error);
  } finally {
    laneSignal.removeEventListener("abort", end);
  }
}

/** What the caller did not state is the image's own, where it has one. */
function resourcesOf({ spec, leftToImage = [] }: Input, { config }: Stack): Resources {
  const resources = { ...spec.resources };
  for (const amount of leftToImage) resources[amount] = config.resources?.[amount] ?? resources[amount];
  return resources;
}

/** Checks the quota and takes a place, in one step that nothing can come between. */
function reserve(
  ctx: Context,
  { id, orgId, spec, quota, deadlineMs }: Input,
  stack: Stack,
  mounts: Mounts,
): { sandbox: Sandbox; elsewhere: boolean } {
  const shortage = shortageOf(ctx.ledger.usage(orgId), chargeOf("starting", spec.resources), quota);
  if (shortage !== null) throw fault("sandbox.quota_exceeded", { ...shortage });
  const placement = place(ctx.nodes.candidates(), askedOf({ spec, stack }, mounts), ctx.random);
  if (placement.kind !== "placed") throw placementFault(placement, { spec }, mounts);
  const now = ctx.clock.now();
  const { maxLifetimeS } = spec.lifetime;
  const sandbox: Sandbox = {
    id,
    orgId,
    spec,
    stack,
    hasDisk: false,
    launch: null,
    state: "starting",
    stateReason: null,
    nodeId: placement.nodeId,
    origin: null,
    epoch: FIRST_EPOCH,
    version: 1,
    createdAt: now,
    startedAt: null,
    stoppedAt: null,
    lastActiveAt: now,
    expiresAt: maxLifetimeS === null ? null : now + maxLifetimeS * 1_000,
    deadlineAt: now + deadlineMs + ctx.config.startMarginMs,
    updatedAt: now,
  };
  ctx.ledger.follow(sandbox);
  return { sandbox, elsewhere: placement.elsewhere };
}

class IdTaken extends Error {}

async function insert(ctx: Context, sandbox: Sandbox): Promise<void> {
  if (!(await ctx.sandboxes.insert(sandbox))) throw new IdTaken(`a row of ${sandbox.id} exists`);
}

/** No node took it. Its row is on its way out before the caller hears of the failure. */
function abandon(ctx: Context, sandbox: Sandbox, { error, certain }: Extract<Launched, { kind: "failed" }>): AppError {
  const gone = { kind: "delete", deadlineAt: ctx.clock.now(), reason: error.code } as const;
  // Where a node may have it after all, the loop asks that node first.
  ctx.sandboxes.applyLater(sandbox, gone, ...(certain ? [{ kind: "deleted" } as const] : []));
  return error;
}

/** The start was ended from outside: the row could not be written, its id is taken, or the sandbox was deleted meanwhile. */
async function undo(ctx: Context, input: Input, flight: Flight, error: unknown): Promise<Answer> {
  if (error instanceof IdTaken) return leaveToFirst(ctx, input, flight.sandbox);
  const isWritten = await flight.written.then(
    () => true,
    () => false,
  );
  if (isWritten) {
    ctx.sandboxes.applyLater(flight.sandbox, { kind: "delete", deadlineAt: ctx.clock.now(), reason: "create_ended" });
  } else {
    ctx.ledger.remove(input.id);
    // Not waited for: if it does not arrive, what the node has is an orphan.
    deleteOn(ctx, nodeOf(flight.sandbox), input.id, FIRST_EPOCH);
  }
  throw isFault(error, "sandbox.version_conflict") ? fault("sandbox.start_failed", { reason: "deleted" }) : error;
}

async function leaveToFirst(ctx: Context, input: Input, sandbox: Sandbox): Promise<Answer> {
  ctx.ledger.remove(input.id);
  const row = await ctx.store.readSandbox(input.id);
  if (row !== null) ctx.ledger.follow(row);
  // The first create may have started it on the same node, and to start it twice is to start it once.
  if (row?.nodeId !== sandbox.nodeId || row.state === "deleted") deleteOn(ctx, nodeOf(sandbox), input.id, FIRST_EPOCH);
  return answerLikeFirst(ctx, input, input.deadlineMs);
}
