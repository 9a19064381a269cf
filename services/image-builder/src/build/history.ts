import type { HistoryEntry, LayerRef } from "@banyan/contracts";
import type { z } from "zod";
import type { BuildOrder, ResolvedBase } from "../domain/plan.ts";
import type { Engine } from "./engine.ts";
import { asking, orNull } from "./engine-fault.ts";
import { stepName } from "./kept-steps.ts";

type Entry = z.infer<typeof HistoryEntry>;

const TITLE_LENGTH_MAX = 200;

/** What made each layer: the base, then step by step. A step whose engine image is gone, or that changed no file, has no layer to name. */
export async function historyOfSteps(engine: Engine, { base, steps }: BuildOrder, layers: readonly LayerRef[]): Promise<Entry[]> {
  const entries: Entry[] = [];
  const claimed = new Set<string>();
  let below = await depthOf(engine, base);
  for (const { kind, key, title } of steps) {
    const kept = kind === "config" ? null : await asking("look at a step", () => orNull(engine.docker.getImage(stepName(key)).inspect()));
    const stack = kept?.RootFS.Layers ?? [];
    const own = kept !== null && below !== null && stack.length === below + 1 ? stack.at(-1) : undefined;
    const layer = own === undefined ? undefined : await layerOf(engine, own, layers);
    if (layer !== undefined) claimed.add(layer.digest);
    const at = kept === null ? engine.clock.now() : Date.parse(kept.Created);
    entries.push({ title, digest: layer?.digest ?? null, sizeBytes: layer?.sizeBytes ?? 0, at });
    if (kind !== "config") below = kept === null ? null : stack.length;
  }
  const now = engine.clock.now();
  const ground = layers.filter(({ digest }) => !claimed.has(digest));
  return [...ground.map(({ digest, sizeBytes }) => ({ title: base?.reference ?? "", digest, sizeBytes, at: now })), ...entries];
}

/** How many layers the base has in the engine; null where it does not say. */
async function depthOf(engine: Engine, base: ResolvedBase | null): Promise<number | null> {
  if (base === null) return null;
  if (base.source.kind === "layers") return base.source.layers.length;
  if (base.source.kind === "rootfs") return 1;
  const { reference } = base.source;
  const image = await asking("look at the base", () => orNull(engine.docker.getImage(reference).inspect()));
  return image?.RootFS.Layers?.length ?? null;
}

async function layerOf(engine: Engine, diffId: string, layers: readonly LayerRef[]): Promise<LayerRef | undefined> {
  const known = await engine.layers.find(diffId);
  return layers.find(({ digest }) => digest === (known?.digest ?? diffId));
}

/** As the engine tells it; which line made which layer it says only by their number. */
export async function historyOfDockerfile(engine: Engine, image: string, layers: readonly LayerRef[]): Promise<Entry[]> {
  const lines = (await asking("read an image's history", () => engine.docker.getImage(image).history())) as Line[];
  const oldestFirst = lines.toReversed();
  const isMatch = oldestFirst.filter(({ Size }) => Size > 0).length === layers.length;
  const unnamed = isMatch ? [...layers] : [];
  const entries = oldestFirst.map(({ CreatedBy, Created, Size }) => {
    const layer = isMatch && Size > 0 ? unnamed.shift() : undefined;
    return { title: titleOf(CreatedBy), digest: layer?.digest ?? null, sizeBytes: layer?.sizeBytes ?? 0, at: Created * 1000 };
  });
  return entries.slice(-layersShown(layers));
}

const layersShown = (layers: readonly LayerRef[]): number => layers.length + 100;

interface Line {
  CreatedBy: string;
  /** Unix seconds. */
  Created: number;
  Size: number;
}

function titleOf(createdBy: string): string {
  const text = createdBy.startsWith("/bin/sh -c #(nop)")
    ? createdBy.slice("/bin/sh -c #(nop)".length)
    : createdBy.replace(/^(\|\d+ .*?)?\/bin\/sh -c /, "RUN ");
  return text.replace(/\s+/g, " ").trim().slice(0, TITLE_LENGTH_MAX);
}
