import { existsSync } from "node:fs";
import { isFault, type LayerRef, LIMITS, layerBlob } from "@banyan/contracts";
import { packLayer } from "@banyan/runtime";
import type Docker from "dockerode";
import type { Engine } from "./engine.ts";
import { asking } from "./engine-fault.ts";
import { putLayer } from "./layer-blob.ts";
import { putSavedLayers } from "./saved-image.ts";

const PACKED_AT_ONCE_MAX = 2;

/** The layers of an image of the engine, bottom first, all of them in the blob store. Only those that are not there yet are read. */
export async function takeApart(engine: Engine, image: string, signal: AbortSignal): Promise<LayerRef[]> {
  const inspected = await asking("look at an image", () => engine.docker.getImage(image).inspect());
  const diffIds = inspected.RootFS.Layers ?? [];
  const layers = new Map<string, LayerRef>();
  await Promise.all(
    diffIds.map(async (diffId) => {
      const known = await engine.layers.find(diffId);
      if (known !== null && (await engine.blobs.has(layerBlob(known.digest)))) layers.set(diffId, known);
    }),
  );
  const missing = new Set(diffIds.filter((diffId) => !layers.has(diffId)));
  const take = async (source: Promise<Map<string, LayerRef>>) => {
    for (const [diffId, layer] of await source) {
      layers.set(diffId, layer);
      missing.delete(diffId);
      await engine.layers.remember(diffId, layer);
    }
  };
  if (missing.size > 0) await take(packDirectories(engine, directoriesOf(engine, inspected), missing, signal));
  if (missing.size > 0) await take(putSavedLayers(engine, image, new Set(missing), signal));
  if (missing.size > 0) throw new Error(`the engine's archive of ${image} lacks ${missing.size} of its layers`);
  return diffIds.flatMap((diffId) => layers.get(diffId) ?? []);
}

/** Where an engine on this machine keeps each layer, by diff id; empty where it is another machine's, or another storage driver. */
function directoriesOf(engine: Engine, { RootFS, GraphDriver }: Docker.ImageInspectInfo): Map<string, string> {
  const data = (GraphDriver as { Name?: string; Data?: { UpperDir?: string; LowerDir?: string } } | null)?.Data;
  if (!engine.readsOverlay || data?.UpperDir === undefined) return new Map();
  const topFirst = [data.UpperDir, ...(data.LowerDir ?? "").split(":").filter((path) => path !== "")];
  const diffIds = RootFS.Layers ?? [];
  if (topFirst.length !== diffIds.length || !topFirst.every((path) => existsSync(path))) return new Map();
  return new Map(topFirst.toReversed().map((path, index) => [diffIds[index] ?? "", path]));
}

/** Cheap: reads just the missing ones. What such a directory cannot say by itself is left to the engine. */
async function packDirectories(
  engine: Engine,
  directories: ReadonlyMap<string, string>,
  missing: ReadonlySet<string>,
  signal: AbortSignal,
): Promise<Map<string, LayerRef>> {
  const packed = new Map<string, LayerRef>();
  const waiting = [...missing].flatMap((diffId) => {
    const path = directories.get(diffId);
    return path === undefined ? [] : [{ diffId, path }];
  });
  const pack = async () => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      try {
        packed.set(next.diffId, await putLayer(engine, packLayer(next.path, { signal }).tar));
      } catch (error) {
        signal.throwIfAborted();
        if (!isFault(error, "internal")) throw error;
        engine.logger.warn({ directory: next.path, err: error }, "a layer cannot be read from its directory; the engine is asked for it");
      }
    }
  };
  await Promise.all(Array.from({ length: PACKED_AT_ONCE_MAX }, pack));
  return packed;
}

/** True when one more step would come too near the engine's own bound, or the result has more layers than an image may. */
export async function isDeep(engine: Engine, image: string): Promise<boolean> {
  const { RootFS } = await asking("look at an image", () => engine.docker.getImage(image).inspect());
  return (RootFS.Layers ?? []).length >= LIMITS.layersPerImage;
}
