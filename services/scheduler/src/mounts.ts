import { fault, isFault, NodeMount, NodeUnmount, ResolveMounts, type VolumeMount } from "@banyan/contracts";
import type { Context } from "./context.ts";
import { type Mounts, mountsOf, NO_MOUNTS } from "./domain/mounts.ts";
import type { Sandbox } from "./domain/sandbox.ts";
import { asUnreachable, nodeOf } from "./node-calls.ts";

/** Within what a caller waits for a mount. */
const MOUNT_CALL_MS = 25_000;
const UNDO_CALL_MS = 5_000;

/** Names become ids, and each an order for the node; nothing is asked where there are none. */
export async function resolveMounts(
  { bus }: Pick<Context, "bus">,
  orgId: string,
  mounts: VolumeMount[],
  signal?: AbortSignal,
): Promise<Mounts> {
  if (mounts.length === 0) return NO_MOUNTS;
  const resolved = await bus.call(ResolveMounts, { orgId, mounts }, { retry: true, ...(signal && { signal }) });
  return mountsOf(resolved.mounts, resolved.orders);
}

/** Into the running sandbox. */
export async function mountOn(ctx: Context, sandbox: Sandbox, { orders }: Mounts, signal: AbortSignal): Promise<void> {
  const nodeId = nodeOf(sandbox);
  const { id: sandboxId, epoch } = sandbox;
  try {
    for (const mount of orders)
      await ctx.bus.call(NodeMount.on(nodeId), { sandboxId, epoch, mount }, { deadlineMs: MOUNT_CALL_MS, signal });
  } catch (error) {
    throw asGone(error, nodeId);
  }
}

export async function unmountOn(
  ctx: Context,
  sandbox: Sandbox,
  how: { path: string; force: boolean; signal?: AbortSignal; deadlineMs?: number },
): Promise<void> {
  const nodeId = nodeOf(sandbox);
  const { path, force, signal, deadlineMs = MOUNT_CALL_MS } = how;
  try {
    const { id: sandboxId, epoch } = sandbox;
    await ctx.bus.call(NodeUnmount.on(nodeId), { sandboxId, epoch, path, force }, { deadlineMs, ...(signal && { signal }) });
  } catch (error) {
    throw asGone(error, nodeId);
  }
}

/** Takes a mount away again that was not written down. What is not heard now is settled later: until then it counts as being there. */
export async function takeBack(ctx: Context, sandbox: Sandbox, path: string): Promise<void> {
  const { id: sandboxId } = sandbox;
  try {
    await unmountOn(ctx, sandbox, { path, force: true, deadlineMs: UNDO_CALL_MS });
  } catch (err) {
    const isOver = isFault(err, "sandbox.version_conflict");
    if (!isOver) return ctx.logger.warn({ err, sandboxId, path }, "a mount that no row tells of may still be there");
  }
  await ctx.store.removeMountIntent(sandboxId).catch((err) => ctx.logger.warn({ err, sandboxId }, "a mount is settled later"));
}

/** Stopped or started in between, by itself or by its node: the rows are about to say so. */
function asGone(error: unknown, nodeId: string): unknown {
  if (isFault(error, "sandbox.stale_epoch", "sandbox.not_found"))
    return fault("sandbox.version_conflict", { nodeId, reason: error.code }, { cause: error });
  return asUnreachable(error, nodeId);
}

/** Writes what the sandbox declares from now on; no change of its state. Nothing about its mounts is open then. */
export async function declareMounts(ctx: Context, sandbox: Sandbox, volumes: VolumeMount[]): Promise<Sandbox> {
  const { spec, version } = sandbox;
  const next = { ...sandbox, spec: { ...spec, volumes }, version: version + 1, updatedAt: ctx.clock.now() };
  if (!(await ctx.store.declareMounts(sandbox, next))) throw fault("sandbox.version_conflict", { version });
  return next;
}
