import { fault, type InputOf, isFault, type NodeFreeze, type OutputOf } from "@banyan/contracts";
import { messageOf } from "@banyan/kernel";
import { type Frozen, freezerOf, type Slot, thawWrite } from "@banyan/runtime";
import { stackLayerOf } from "./frozen-layers.ts";
import type { NodeParts } from "./parts.ts";

type Input = InputOf<typeof NodeFreeze>;
type Output = OutputOf<typeof NodeFreeze>;

/** Freezes a sandbox's files into a layer of this node, which it keeps. The same id again is answered like the first time, also after a restart. */
export async function freezeSandbox(parts: NodeParts, input: Input): Promise<Output> {
  try {
    return await parts.turns.take(input.sandboxId, async () => repeated(parts, input) ?? (await freezeAndKeep(parts, input)));
  } catch (cause) {
    if (isFault(cause, "sandbox.not_found", "sandbox.stale_epoch", "snapshot.failed")) throw cause;
    throw fault("snapshot.failed", { sandboxId: input.sandboxId, reason: messageOf(cause) }, { cause });
  }
}

function repeated({ frozenLayers }: NodeParts, { frozenId, sandboxId, keepUntil }: Input): Output | null {
  const record = frozenLayers.get(frozenId);
  if (record === undefined) return null;
  if (record.sandboxId !== sandboxId)
    throw fault("snapshot.failed", { sandboxId, frozenId }, { message: "this id was used for another sandbox" });
  if (keepUntil > record.keepUntil) frozenLayers.note(frozenId, { keepUntil });
  return { layer: stackLayerOf(record), way: record.way, pausedMs: record.pausedMs };
}

async function freezeAndKeep(parts: NodeParts, input: Input): Promise<Output> {
  const { sandboxId, epoch, frozenId, keepUntil } = input;
  // Its size is told to people only: a freeze does not fail for it.
  const sizing = parts.disk.driver.usageBytes(sandboxId).catch(() => null);
  const { frozen, way } = await freezeInTurn(parts, input);
  const usageBytes = await sizing;
  const { pausedMs } = frozen;
  const about = { format: 1 as const, frozenId, sandboxId, epoch, way, pausedMs, sizeBytes: usageBytes ?? 0, keepUntil };
  const record = { ...about, released: false, packed: [] };
  try {
    parts.frozenLayers.keep(frozen, record);
  } catch (error) {
    await frozen.remove();
    throw error;
  }
  return { layer: stackLayerOf(record), way, pausedMs };
}

/** For whoever has the sandbox's turn. */
export async function freezeInTurn(
  parts: NodeParts,
  { sandboxId, epoch }: { sandboxId: string; epoch: number },
): Promise<{ frozen: Frozen; way: Output["way"] }> {
  const known = parts.registry.get(sandboxId);
  if (known === undefined) throw fault("sandbox.not_found", { sandboxId });
  if (known.entry.epoch !== epoch) throw fault("sandbox.stale_epoch", { sandboxId, epoch: known.entry.epoch });
  if (known.run === null) return { frozen: await parts.disk.driver.freeze(sandboxId, null), way: "stopped" };
  const { slot } = known.run;
  try {
    return { frozen: await parts.disk.driver.freeze(sandboxId, freezerOf(slot)), way: "copy" };
  } catch (error) {
    // The helper thaws what it froze, unless it was killed.
    await thaw(parts, slot);
    throw error;
  }
}

/** Lets a sandbox go on that stands still for no reason any more. */
export async function thaw({ attach, logger }: NodeParts, slot: Slot): Promise<void> {
  try {
    await attach.cgroup([thawWrite(freezerOf(slot))]);
  } catch (err) {
    logger.warn({ err, slotId: slot.id }, "a slot could not be thawed; it may have ended");
  }
}
