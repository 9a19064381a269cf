import { fault, type InputOf, isFault, type OutputOf, RegisterImage, SnapshotSandbox } from "@banyan/contracts";
import { type Context, handle } from "../context.ts";
import type { Stack } from "../domain/sandbox.ts";
import { snapshotOn } from "../node-calls.ts";
import type { Snapshot } from "../store/schema.ts";

type Input = InputOf<typeof SnapshotSandbox>;
type Answer = OutputOf<typeof SnapshotSandbox>;

/** What the registration may take of the caller's time after the node's part. */
const REGISTER_MARGIN_MS = 20_000;

/** Not in the sandbox's lane: only the node's short freeze concerns the sandbox, which may be stopped or deleted while its layer is shipped. */
export const snapshotSandbox = handle(SnapshotSandbox, (ctx, input, request) => {
  const first = ctx.snapshots.get(input.imageId);
  if (first !== undefined && first.orgId === input.orgId) return first.answer;
  const answer = snapshot(ctx, input, request).finally(() => ctx.snapshots.delete(input.imageId));
  ctx.snapshots.set(input.imageId, { orgId: input.orgId, answer });
  return answer;
});

/** What the node made is written down before it gets its name: a repeat goes on from there, and freezes nothing a second time. */
async function snapshot(ctx: Context, input: Input, request: { deadlineMs: number; signal: AbortSignal }): Promise<Answer> {
  const { orgId, imageId, name, id: sandboxId } = input;
  const made = (await ctx.store.readSnapshot(imageId)) ?? (await make(ctx, input, request));
  if (made.orgId !== orgId || made.sandboxId !== sandboxId) {
    throw fault("request.invalid", { imageId }, { message: "this id was used for another snapshot" });
  }
  const { layers, config, ...rest } = made.result;
  try {
    const { image } = await ctx.bus.call(RegisterImage, { orgId, imageId, name, layers, config, sandboxId }, { retry: true });
    return { image, ...rest };
  } catch (error) {
    // Its layers were not kept: a repeat has to make them again.
    if (isFault(error, "layer.unavailable")) await ctx.store.removeSnapshot(imageId);
    throw error;
  }
}

async function make(ctx: Context, input: Input, request: { deadlineMs: number; signal: AbortSignal }): Promise<Snapshot> {
  const sandbox = await ctx.sandboxes.find(input);
  const { id: sandboxId, epoch, state, stack, hasDisk } = sandbox;
  if (state !== "running" && state !== "stopped") throw fault("sandbox.illegal_transition", { state, epoch, command: "snapshot" });
  const options = { deadlineMs: Math.max(1, request.deadlineMs - REGISTER_MARGIN_MS), signal: request.signal };
  const frozen = hasDisk ? await snapshotOn(ctx, sandbox, options) : frozenAlready(stack);
  // Of the sandbox's own environment nothing is kept: it may hold what was meant for this one alone.
  const made = {
    imageId: input.imageId,
    orgId: input.orgId,
    sandboxId,
    result: { ...frozen, config: stack.config },
    at: ctx.clock.now(),
  };
  await ctx.store.insertSnapshot(made);
  return made;
}

/** Without a disk its stack is all there is of it. */
const frozenAlready = ({ layers }: Stack) => ({ layers, way: "stopped" as const, pausedMs: 0, skipped: [] });
