import { CheckLayer, Digest, fault, isFault, type NodeStart, type OutputOf } from "@banyan/contracts";
import type { AppError } from "@banyan/kernel";
import type { Context } from "./context.ts";
import { move } from "./domain/decide.ts";
import { isMountRefusal, type Mounts } from "./domain/mounts.ts";
import { type Asked, amountsOf, layerKey, type Placement, place } from "./domain/place.ts";
import type { Launch, Sandbox } from "./domain/sandbox.ts";
import { nodeOf, startOn } from "./node-calls.ts";

/** Nodes that are asked for one start. */
const START_ATTEMPTS_MAX = 4;
const RETRY_AFTER_MS = 1_000;
const CHECK_EVERY_MS = 60_000;

type Refusal = Extract<OutputOf<typeof NodeStart>, { kind: "refused" }>;

/** A start under way. `launch` keeps `sandbox` and `written` up to date, so that whoever ends it early knows how far it came. */
export interface Flight {
  sandbox: Sandbox;
  /** The write of the row as it is now; moves to another node are written behind it. */
  written: Promise<void>;
  readonly mounts: Mounts;
  /** Monotonic. */
  readonly slotWaitEndsMs: number;
  readonly beganMs: number;
  /** Another node could be asked at once. */
  elsewhere: boolean;
  /** A sandbox that has a disk can start only where that is. */
  readonly bound: boolean;
  readonly signal: AbortSignal;
}

export type Launched =
  | { kind: "started"; launch: Launch }
  | { kind: "failed"; error: AppError; refusal: Refusal | null /** No node can have it. */; certain: boolean };

/** Has the sandbox started by its node, or by another that has room: every node refuses for itself, so the view may be wrong. */
export async function launch(ctx: Context, flight: Flight): Promise<Launched> {
  const excluded = new Set<string>();
  const full = new Set<string>();
  let certain = true;
  for (let attempt = 1; ; attempt++) {
    const placedMs = ctx.clock.monotonicMs();
    const remainingMs = Math.max(0, flight.slotWaitEndsMs - placedMs);
    const last = attempt === START_ATTEMPTS_MAX;
    const tried = await attemptOn(ctx, flight, flight.elsewhere && !last ? 0 : remainingMs);
    const nowMs = ctx.clock.monotonicMs();
    if (tried.kind === "started") {
      const timing = { ...tried.answer.timing, placeMs: placedMs - flight.beganMs, totalMs: nowMs - flight.beganMs };
      ctx.measures.startMs.record(timing.totalMs, { path: tried.answer.path });
      return { kind: "started", launch: { path: tried.answer.path, timing } };
    }
    certain &&= tried.certain;
    const failed: Launched = { kind: "failed", error: tried.error, refusal: tried.refusal, certain };
    if (last || flight.bound || flight.slotWaitEndsMs <= nowMs || isMountRefusal(tried.error.code)) return failed;
    const nodeId = nodeOf(flight.sandbox);
    excluded.add(nodeId);
    if (tried.refusal?.reason === "no_slot" && flight.elsewhere) full.add(nodeId);
    const next = placeAgain(ctx, flight, excluded, full);
    if (next.kind !== "placed") return failed;
    moveTo(ctx, flight, next.nodeId);
    flight.elsewhere = next.elsewhere;
  }
}

type Tried =
  | { kind: "started"; answer: Extract<OutputOf<typeof NodeStart>, { kind: "started" }> }
  | { kind: "failed"; error: AppError; refusal: Refusal | null; certain: boolean };

/** Said by a node that has nothing of the start. */
const NOT_STARTED = ["sandbox.start_failed", "layer.unavailable", "volume.unreachable", "volume.mount_failed"] as const;

async function attemptOn(ctx: Context, { sandbox, mounts, signal }: Flight, slotWaitMs: number): Promise<Tried> {
  try {
    const answer = await startOn(ctx, sandbox, { mounts, slotWaitMs, signal });
    if (answer.kind === "started") return { kind: "started", answer };
    return { kind: "failed", error: errorOf(answer, sandbox), refusal: answer, certain: true };
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    if (isFault(error, "layer.unavailable")) haveChecked(ctx, error);
    if (!isFault(error)) throw error;
    if (isMountRefusal(error.code) || isFault(error, ...NOT_STARTED)) return { kind: "failed", error, refusal: null, certain: true };
    ctx.logger.warn({ err: error, sandboxId: sandbox.id, nodeId: sandbox.nodeId }, "a node did not answer to a start");
    return { kind: "failed", error, refusal: null, certain: false };
  }
}

/** The node's word alone condemns no layer: it may be its own disk that is at fault. Once a minute, however many starts need it. */
export function haveChecked({ bus, clock, logger }: Pick<Context, "bus" | "clock" | "logger">, { details }: AppError): void {
  const digest = Digest.safeParse(details.digest);
  if (!digest.success) return;
  const dedupeId = `${digest.data} ${Math.floor(clock.now() / CHECK_EVERY_MS)}`;
  bus
    .publishJob(CheckLayer, { digest: digest.data }, { dedupeId })
    .catch((err) => logger.warn({ err, digest: digest.data }, "a layer that a node cannot have was not reported"));
}

/** What a new disk of it takes of a node. */
export const askedOf = ({ spec, stack }: Pick<Sandbox, "spec" | "stack">, { stores }: Mounts): Asked => ({
  amounts: amountsOf(spec.resources),
  layers: stack.layers.map(layerKey),
  stores,
});

const UNREACHED_RETRY_MS = 5_000;

/** Why there is no place for it; `at` is told with it. */
export function placementFault(
  placement: Exclude<Placement, { kind: "placed" }>,
  { spec }: Pick<Sandbox, "spec">,
  { stores }: Mounts,
  at: Record<string, unknown> = {},
): AppError {
  const details = { ...at, ...(stores.length > 0 && { stores }) };
  switch (placement.kind) {
    case "none_fits":
      return fault("node.none_fits", { ...details, asked: spec.resources });
    case "none_available":
      return fault("node.none_available", { ...details, retryAfterMs: placement.retryAfterMs });
    case "out_of_reach":
      return fault("volume.unreachable", { ...at, stores: placement.stores, retryAfterMs: UNREACHED_RETRY_MS });
  }
}

/** Elsewhere if there is room; else, where a node only lacked a slot and nobody waited for it yet, there again to wait. */
function placeAgain(ctx: Context, { sandbox, mounts }: Flight, excluded: ReadonlySet<string>, full: Set<string>): Placement {
  const entry = ctx.ledger.get(sandbox.id);
  // Its own reservation must not stand in its way.
  if (entry !== undefined) ctx.ledger.put({ ...entry, nodeId: null });
  const asked = askedOf(sandbox, mounts);
  const other = place(ctx.nodes.candidates(), { ...asked, excluded }, ctx.random);
  if (other.kind === "placed" || full.size === 0) return other;
  const others = new Set([...excluded].filter((nodeId) => !full.has(nodeId)));
  full.clear();
  const again = place(ctx.nodes.candidates(), { ...asked, excluded: others }, ctx.random);
  return again.kind === "placed" ? { ...again, elsewhere: false } : again;
}

function moveTo(ctx: Context, flight: Flight, nodeId: string): void {
  const { sandbox, written } = flight;
  if (nodeId !== sandbox.nodeId) {
    const moved = move(sandbox, nodeId, ctx.clock.now());
    flight.sandbox = moved;
    flight.written = written.then(() => ctx.sandboxes.write(sandbox, { next: moved, event: null }));
    // Awaited before anything is answered; until then its failure must not count as unhandled.
    flight.written.catch(() => {});
  }
  ctx.ledger.follow(flight.sandbox);
}

function errorOf({ reason, retryAfterMs }: Refusal, { nodeId, epoch }: Sandbox): AppError {
  switch (reason) {
    case "no_slot":
      return fault("node.no_slot", { nodeId, retryAfterMs });
    case "capacity":
    case "leaving":
    case "joining":
      return fault("node.none_available", { nodeId, reason, retryAfterMs: Math.max(retryAfterMs, RETRY_AFTER_MS) });
    case "no_disk":
    case "stale_epoch":
    case "deleted":
      return fault("sandbox.start_failed", { nodeId, reason, epoch });
  }
}
