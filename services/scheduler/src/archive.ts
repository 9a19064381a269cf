import { fault, NodeDelete, NodeSnapshot } from "@banyan/contracts";
import type { Context } from "./context.ts";
import type { Sandbox } from "./domain/sandbox.ts";
import { nodeOf, snapshotOn } from "./node-calls.ts";

export interface ArchiveOptions {
  deadlineMs?: number;
  /** Aborts when this process ends. */
  signal?: AbortSignal;
}

/**
 * Puts a stopped sandbox's files into the blob store and gives up its disk. The row changes when the layers are there and not before, so an
 * interruption at any moment leaves the files in one place at least. Only that change is in the sandbox's lane: a start or delete that comes
 * meanwhile goes first, and the archive ends with a conflict. Asked for again while it is under way, it is one.
 */
export function archive(ctx: Context, ref: { orgId: string; id: string }, options: ArchiveOptions = {}): Promise<Sandbox> {
  const first = ctx.archives.get(ref.id);
  if (first !== undefined) return first;
  const archived = run(ctx, ref, { deadlineMs: NodeSnapshot.deadlineMs, ...options }).finally(() => ctx.archives.delete(ref.id));
  ctx.archives.set(ref.id, archived);
  return archived;
}

async function run(ctx: Context, ref: { orgId: string; id: string }, options: ArchiveOptions & { deadlineMs: number }): Promise<Sandbox> {
  const sandbox = await ctx.sandboxes.find(ref);
  const { id, state, epoch } = sandbox;
  if (state !== "stopped") throw fault("sandbox.illegal_transition", { state, epoch, command: "archive" });
  if (!sandbox.hasDisk) return sandbox;
  const nodeId = nodeOf(sandbox);
  const { layers } = await snapshotOn(ctx, sandbox, options);
  return ctx.lanes.run(id, async () => {
    const now = await ctx.sandboxes.find(ref);
    // While it is stopped nothing changes its disk: the same run, still stopped, has the same files.
    if (now.state !== "stopped" || now.epoch !== epoch || now.nodeId !== nodeId)
      throw fault("sandbox.version_conflict", { state: now.state, epoch: now.epoch, command: "archive" });
    const archived = await ctx.sandboxes.apply(now, { kind: "archived", epoch, layers });
    giveUpDisk(ctx, nodeId, { sandboxId: id, epoch });
    return archived;
  });
}

/** Not waited for: if it does not arrive, what the node has is an orphan. A later run of it there is not concerned. */
export function giveUpDisk(ctx: Context, nodeId: string, of: { sandboxId: string; epoch: number }): void {
  ctx.bus
    .call(NodeDelete.on(nodeId), of)
    .catch((err) => ctx.logger.warn({ err, nodeId, ...of }, "a disk that was given up is left to the reconciliation"));
}
