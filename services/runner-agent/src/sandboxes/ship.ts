import { join } from "node:path";
import {
  fault,
  type InputOf,
  isFault,
  isFrozen,
  type LayerRef,
  LIMITS,
  layerBlob,
  type NodeShip,
  type OutputOf,
  type StackLayer,
} from "@banyan/contracts";
import { messageOf, newId } from "@banyan/kernel";
import { mergedView, packLayer, type SpooledLayer, spoolLayer } from "@banyan/runtime";
import { frozenIdOf, type Packed } from "./frozen-layers.ts";
import type { NodeParts } from "./parts.ts";

/** Leaves room for the steps of a build on top. */
const DEPTH_MAX = Math.floor(LIMITS.layersPerImage * 0.8);
const SKIPPED_MAX = 100;

export type Shipped = OutputOf<typeof NodeShip>;

/** Puts into the blob store what it lacks of a stack, and answers the stack as any node knows it. */
export async function shipLayers(parts: NodeParts, { layers }: InputOf<typeof NodeShip>): Promise<Shipped> {
  const release = parts.layers.hold(layers);
  try {
    return isTooDeep(layers.length) ? asOne(await packOnce(parts, layers)) : await shipEach(parts, layers);
  } catch (cause) {
    if (isFault(cause, "layer.unavailable", "snapshot.failed")) throw cause;
    throw fault("snapshot.failed", { reason: messageOf(cause) }, { cause });
  } finally {
    release();
  }
}

/** A stack of so many layers is made into one before others see it: a chain of forks and snapshots would else outgrow what an image may have. */
export function isTooDeep(depth: number): boolean {
  return depth > DEPTH_MAX;
}

/** Frozen layers as digests, the others as they are, all of them in the blob store. For whoever holds them. */
export async function shipEach(parts: NodeParts, stack: readonly StackLayer[]): Promise<Shipped> {
  const skipped: string[] = [];
  const layers: LayerRef[] = [];
  for (const each of stack) {
    if (!isFrozen(each.digest)) {
      await putBack(parts, each);
      layers.push(each);
      continue;
    }
    const packed = await packOnce(parts, [each]);
    layers.push(packed.layer);
    skipped.push(...packed.skipped);
  }
  return { layers, skipped: skipped.slice(0, SKIPPED_MAX) };
}

/** A layer that the blob store has lost and this node has: packed anew, it is the same where it was packed by a node at first. */
async function putBack(parts: NodeParts, layer: StackLayer): Promise<void> {
  if (await parts.blobs.has(layerBlob(layer.digest))) return;
  const packed = parts.layers.has(layer.digest) ? await packOnce(parts, [layer]) : null;
  if (packed?.layer.digest === layer.digest) return;
  throw fault("layer.unavailable", { digest: layer.digest }, { message: "the blob store has lost a layer of the stack" });
}

/** One layer made of these, whose topmost is frozen or not; packed once however many ask, and not again while the blob store has it. */
async function packOnce(parts: NodeParts, stack: readonly StackLayer[]): Promise<Packed> {
  const of = stack.map(({ digest }) => digest).join(" ");
  const underWay = parts.packing.get(of);
  if (underWay !== undefined) return underWay;
  const packing = packUnlessKept(parts, stack, of).finally(() => parts.packing.delete(of));
  parts.packing.set(of, packing);
  return packing;
}

async function packUnlessKept(parts: NodeParts, stack: readonly StackLayer[], of: string): Promise<Packed> {
  const top = stack.at(-1)?.digest ?? "";
  const known = isFrozen(top) ? parts.frozenLayers.get(frozenIdOf(top))?.packed.find((packed) => packed.of === of) : undefined;
  if (known !== undefined && (await parts.blobs.has(layerBlob(known.layer.digest)))) return known;
  await parts.layers.ensure(stack);
  const paths = stack.map(({ digest }) => parts.layers.path(digest)).reverse();
  const { layer, skipped } = await parts.snapshots.run(() => packDirectories(parts, paths));
  const packed = { of, layer, skipped };
  if (isFrozen(top)) parts.frozenLayers.notePacked(frozenIdOf(top), packed);
  return packed;
}

/** One layer of directories in overlayfs form, the topmost first, in the blob store and on this node. */
export async function packDirectories(
  parts: NodeParts,
  directories: readonly string[],
  signal?: AbortSignal,
): Promise<{ layer: LayerRef; skipped: string[] }> {
  const [only, ...below] = directories;
  if (only !== undefined && below.length === 0) return pack(parts, only, signal);
  const view = await mergedView(parts.attach.run, directories, join(parts.spoolDirectory, newId("req")));
  try {
    return await pack(parts, view.directory, signal);
  } finally {
    await view.remove();
  }
}

async function pack(parts: NodeParts, directory: string, signal?: AbortSignal): Promise<{ layer: LayerRef; skipped: string[] }> {
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

function asOne({ layer, skipped }: Packed): Shipped {
  return { layers: [layer], skipped };
}
