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

/** Into the running sandbox. Where nobody knows whether it is there now, it is taken away again: no row tells of it. */
export async function mountOn(ctx: Context, sandbox: Sandbox, { orders }: Mounts, signal: AbortSignal): Promise<void> {
  const nodeId = nodeOf(sandbox);
  for (const mount of orders) {
    try {
      const { id: sandboxId, epoch } = sandbox;
      await ctx.bus.call(NodeMount.on(nodeId), { sandboxId, epoch, mount }, { deadlineMs: MOUNT_CALL_MS, signal });
    } catch (error) {
      if (isFault(error, "bus.timeout", "bus.unavailable")) await unmountAgain(ctx, sandbox, mount.path);
      throw asGone(error, nodeId);
    }
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

/** A mount that could not be written down. If this is not heard, the sandbox's next start makes the row the truth. */
export async function unmountAgain(ctx: Context, sandbox: Sandbox, path: string): Promise<void> {
  await unmountOn(ctx, sandbox, { path, force: true, deadlineMs: UNDO_CALL_MS }).catch((err) =>
    ctx.logger.warn({ err, sandboxId: sandbox.id, path }, "a mount that no row tells of may still be there"),
  );
}

/** Stopped or started in between, by itself or by its node: the rows are about to say so. */
function asGone(error: unknown, nodeId: string): unknown {
  if (isFault(error, "sandbox.stale_epoch", "sandbox.not_found"))
    return fault("sandbox.version_conflict", { nodeId, reason: error.code }, { cause: error });
  return asUnreachable(error, nodeId);
}

/** Writes what the sandbox declares from now on; no change of its state. */
export async function declareMounts(ctx: Context, sandbox: Sandbox, volumes: VolumeMount[]): Promise<Sandbox> {
  const { spec, version } = sandbox;
  const next = { ...sandbox, spec: { ...spec, volumes }, version: version + 1, updatedAt: ctx.clock.now() };
  if (!(await ctx.store.updateSettings(sandbox, next))) throw fault("sandbox.version_conflict", { version });
  return next;
}
