import { fault, isFault } from "@banyan/contracts";
import type { Context } from "./context.ts";
import { type MountIntent, settlementOf } from "./domain/mount-intent.ts";
import type { Sandbox } from "./domain/sandbox.ts";
import { declareMounts, unmountOn } from "./mounts.ts";
import { nodeOf } from "./node-calls.ts";

const SETTLE_CALL_MS = 5_000;

/**
 * Makes the row and the run agree where a mount or an unmount was begun and nobody knows how far it came; answers what it was. Inside the sandbox's
 * lane. Throws where that cannot be done now.
 */
export async function settleEarlier(ctx: Context, sandboxId: string): Promise<MountIntent | null> {
  const intent = await ctx.store.readMountIntent(sandboxId);
  if (intent !== null) await settle(ctx, intent);
  return intent;
}

async function settle(ctx: Context, intent: MountIntent): Promise<void> {
  const { sandboxId } = intent;
  const sandbox = await ctx.sandboxes.peek(sandboxId);
  const settlement = settlementOf(intent, sandbox);
  if (settlement === "wait") return;
  if (settlement === "over" || sandbox === null) return ctx.store.removeMountIntent(sandboxId);
  const nodeId = nodeOf(sandbox);
  if (!ctx.nodes.isReachable(nodeId)) throw fault("node.unreachable", { nodeId });
  const fenced = await fence(ctx, sandbox);
  ctx.logger.warn({ sandboxId, settlement, path: intent.mount.path }, "a sandbox and its row are made to agree on a mount");
  await carryOut(ctx, fenced, intent);
}

/** A write of whoever began it may still wait for its turn in the database: from here on it comes to nothing. */
async function fence(ctx: Context, sandbox: Sandbox): Promise<Sandbox> {
  const { version } = sandbox;
  const next = { ...sandbox, version: version + 1, updatedAt: ctx.clock.now() };
  if (!(await ctx.store.updateSettings(sandbox, next))) throw fault("sandbox.version_conflict", { version });
  return next;
}

async function carryOut(ctx: Context, sandbox: Sandbox, { kind, mount: { path }, force }: MountIntent): Promise<void> {
  try {
    await unmountOn(ctx, sandbox, { path, force: force || kind === "mount", deadlineMs: SETTLE_CALL_MS });
  } catch (error) {
    // It stays where it is, as the row says; or the run is over.
    const isOver = (kind === "unmount" && isFault(error, "mount.busy")) || isFault(error, "sandbox.version_conflict");
    if (!isOver) throw error;
    return ctx.store.removeMountIntent(sandbox.id);
  }
  if (kind === "mount") return ctx.store.removeMountIntent(sandbox.id);
  await declareMounts(
    ctx,
    sandbox,
    sandbox.spec.volumes.filter((mount) => mount.path !== path),
  );
}
