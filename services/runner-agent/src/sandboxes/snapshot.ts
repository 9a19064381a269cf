import { join } from "node:path";
import { fault, type InputOf, isFault, type LayerRef, LIMITS, layerBlob, type NodeSnapshot, type OutputOf } from "@banyan/contracts";
import { messageOf, newId } from "@banyan/kernel";
import { type Frozen, freezerOf, mergedView, packLayer, type Slot, type SpooledLayer, spoolLayer, thawWrite } from "@banyan/runtime";
import type { NodeParts } from "./parts.ts";

type Input = InputOf<typeof NodeSnapshot>;
/** Leaves room for the steps of a build on top of the snapshot. */
const STACK_FLATTENED_AT = Math.floor(LIMITS.layersPerImage * 0.8);

type Output = OutputOf<typeof NodeSnapshot>;

/**
 * Makes a layer of what a sandbox has changed, ships it, and answers the stack that is the sandbox as it was at that moment. Only the freeze
 * concerns the sandbox: all else works on what was frozen, while it runs on, stops or is deleted.
 */
export async function snapshotSandbox(parts: NodeParts, input: Input, signal?: AbortSignal): Promise<Output> {
  const release = parts.layers.hold(input.layers);
  try {
    return await parts.snapshots.run(async () => {
      const { frozen, way } = await parts.turns.take(input.sandboxId, () => freezeInTurn(parts, input));
      try {
        const isDeep = input.layers.length >= STACK_FLATTENED_AT;
        const { layer, skipped } = isDeep ? await flatten(parts, input, frozen, signal) : await ship(parts, frozen.directory, signal);
        return { layers: isDeep ? [layer] : [...input.layers, layer], way, pausedMs: frozen.pausedMs, skipped };
      } finally {
        await frozen.remove().catch((err) => parts.logger.warn({ err }, "what was frozen stays until the node starts the next time"));
      }
    });
  } catch (cause) {
    if (isFault(cause, "sandbox.not_found", "sandbox.stale_epoch", "snapshot.failed")) throw cause;
    throw fault("snapshot.failed", { sandboxId: input.sandboxId, reason: messageOf(cause) }, { cause });
  } finally {
    release();
  }
}

async function freezeInTurn(parts: NodeParts, { sandboxId, epoch }: Input): Promise<{ frozen: Frozen; way: Output["way"] }> {
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

/** All that the sandbox sees as one layer: a chain of snapshots would else outgrow what an image may have. */
async function flatten(parts: NodeParts, { layers }: Input, frozen: Frozen, signal?: AbortSignal): Promise<Shipped> {
  await parts.layers.ensure(layers);
  const lower = [frozen.directory, ...layers.map(({ digest }) => parts.layers.path(digest)).reverse()];
  const view = await mergedView(parts.attach.run, lower, join(parts.spoolDirectory, newId("req")));
  try {
    return await ship(parts, view.directory, signal);
  } finally {
    await view.remove();
  }
}

interface Shipped {
  layer: LayerRef;
  skipped: string[];
}

async function ship(parts: NodeParts, directory: string, signal?: AbortSignal): Promise<Shipped> {
  const { tar, skipped } = packLayer(directory, signal === undefined ? {} : { signal });
  const spooled = await spoolLayer(tar, join(parts.spoolDirectory, newId("req")), signal);
  try {
    await Promise.all([putIfMissing(parts, spooled), parts.layers.adopt(spooled.layer.digest, spooled.open)]);
    return { layer: spooled.layer, skipped };
  } finally {
    await spooled.remove();
  }
}

async function putIfMissing({ blobs }: NodeParts, { layer, open }: SpooledLayer): Promise<void> {
  const name = layerBlob(layer.digest);
  if (!(await blobs.has(name))) await blobs.put(name, open());
}

/** Lets a sandbox go on that stands still for no reason any more. */
export async function thaw({ attach, logger }: NodeParts, slot: Slot): Promise<void> {
  try {
    await attach.cgroup([thawWrite(freezerOf(slot))]);
  } catch (err) {
    logger.warn({ err, slotId: slot.id }, "a slot could not be thawed; it may have ended");
  }
}
