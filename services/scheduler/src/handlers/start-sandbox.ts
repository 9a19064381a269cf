import { fault, type InputOf, type OutputOf, StartSandbox } from "@banyan/contracts";
import type { AppError } from "@banyan/kernel";
import { type Context, handle } from "../context.ts";
import { amountsOf, place } from "../domain/place.ts";
import { shortageOf } from "../domain/quota.ts";
import type { Sandbox } from "../domain/sandbox.ts";
import { type Flight, type Launched, launch } from "../launch.ts";
import { nodeOf, stopOn } from "../node-calls.ts";
import { started } from "./started.ts";

type Input = InputOf<typeof StartSandbox>;

/** A node may have heard of a start whose row was never written: its epoch is used up, and the next one is free. */
const STALE_EPOCHS_MAX = 2;

/** Where its disk is and nowhere else. */
export const startSandbox = handle(StartSandbox, (ctx, input) => {
  const beganMs = ctx.clock.monotonicMs();
  return ctx.lanes.run(input.id, async (signal) => {
    for (let left = STALE_EPOCHS_MAX; ; left--) {
      const answer = await start(ctx, input, beganMs, signal);
      if (answer !== "stale") return answer;
      if (left === 0) throw fault("sandbox.version_conflict", { reason: "stale_epoch" });
    }
  });
});

async function start(
  ctx: Context,
  input: Input,
  beganMs: number,
  laneSignal: AbortSignal,
): Promise<OutputOf<typeof StartSandbox> | "stale"> {
  const stopped = await ctx.sandboxes.find(input);
  const deadlineAt = ctx.clock.now() + input.deadlineMs + ctx.config.startMarginMs;
  const change = ctx.sandboxes.decide(stopped, { kind: "start", deadlineAt });
  checkRoom(ctx, stopped, input);
  const starting = change.next;
  ctx.ledger.follow(starting);
  const ending = new AbortController();
  const end = (): void => ending.abort(laneSignal.reason);
  laneSignal.addEventListener("abort", end, { once: true });
  const written = ctx.sandboxes.write(stopped, change);
  written.catch((error) => ending.abort(error));
  const slotWaitEndsMs = beganMs + input.deadlineMs;
  const flight: Flight = { sandbox: starting, written, slotWaitEndsMs, beganMs, elsewhere: false, bound: true, signal: ending.signal };
  try {
    const launched = await launch(ctx, flight);
    await written;
    if (launched.kind === "failed") {
      const error = giveUp(ctx, starting, launched);
      if (launched.refusal?.reason === "stale_epoch") return "stale";
      throw error;
    }
    const running = ctx.sandboxes.applyLater(starting, { kind: "started", epoch: starting.epoch, launch: launched.launch });
    return started(ctx, running, launched.launch);
  } catch (error) {
    if (ctx.ledger.get(input.id)?.state === "starting") await undo(ctx, stopped, starting, written);
    throw error;
  } finally {
    laneSignal.removeEventListener("abort", end);
  }
}

/** Its disk is there already and it counts as a sandbox already: what it needs more is cpu, memory and a place among the running. */
function checkRoom(ctx: Context, sandbox: Sandbox, { quota }: Input): void {
  const { cpu, memoryMb } = sandbox.spec.resources;
  const shortage = shortageOf(ctx.ledger.usage(sandbox.orgId), { sandboxes: 0, cpu, memoryMb }, quota);
  if (shortage !== null) throw fault("sandbox.quota_exceeded", { ...shortage });
  const node = ctx.nodes.candidate(nodeOf(sandbox));
  if (node === null || !node.reachable) throw fault("node.unreachable", { nodeId: sandbox.nodeId });
  const placement = place([{ ...node, cordoned: false }], { amounts: { ...amountsOf(sandbox.spec.resources), diskMb: 0 } }, ctx.random);
  if (placement.kind === "none_fits") throw fault("node.none_fits", { nodeId: node.nodeId });
  if (placement.kind === "none_available")
    throw fault("node.none_available", { nodeId: node.nodeId, retryAfterMs: placement.retryAfterMs });
}

function giveUp(ctx: Context, sandbox: Sandbox, { error, refusal, certain }: Extract<Launched, { kind: "failed" }>): AppError {
  const { epoch } = sandbox;
  if (refusal?.reason === "no_disk") ctx.sandboxes.applyLater(sandbox, { kind: "failed", epoch, reason: "disk_lost" });
  // Else the node may still start it: the row keeps its deadline, and the reconciliation asks what came of it.
  else if (certain) ctx.sandboxes.applyLater(sandbox, { kind: "gave_up", epoch, reason: error.code });
  return error;
}

/** Ended from outside: the row could not be written, or a delete came. The node must not go on with this epoch. */
async function undo(ctx: Context, stopped: Sandbox, starting: Sandbox, written: Promise<void>): Promise<void> {
  const isWritten = await written.then(
    () => true,
    () => false,
  );
  if (!isWritten) ctx.ledger.follow(stopped);
  // Not waited for: if it does not arrive, the reconciliation stops what runs without a row that says so.
  stopOn(ctx, { sandbox: starting, graceMs: 0, idleSince: null }).catch((err) =>
    ctx.logger.warn({ err, sandboxId: starting.id, nodeId: starting.nodeId }, "a start that was ended may go on"),
  );
}
