import { Readable } from "node:stream";
import type { LayerRef } from "@banyan/contracts";
import { extract } from "tar-stream";
import type { Engine } from "./engine.ts";
import { asking } from "./engine-fault.ts";
import { putLayer } from "./layer-blob.ts";
import { inflate } from "./sent-tar.ts";
import type { Entry } from "./tar-streams.ts";

/** A layer's file in what `docker save` answers: of engines up to 24, and in the OCI layout of later ones, where it may be compressed. */
const LAYER_FILE = /^([0-9a-f]{64}\/layer\.tar|blobs\/sha256\/[0-9a-f]{64})$/;
const JSON_BYTE = "{".charCodeAt(0);

/**
 * Layers of an image by way of the engine's own archive, which always holds all of them. Named by what they hash to: that is their diff id,
 * so neither layout's list of contents is needed. `wanted` shrinks as they are found.
 */
export async function putSavedLayers(
  engine: Engine,
  image: string,
  wanted: Set<string>,
  signal: AbortSignal,
): Promise<Map<string, LayerRef>> {
  const found = new Map<string, LayerRef>();
  const archive = (await asking("save an image", () => engine.docker.getImage(image).get())) as Readable;
  const entries = extract();
  const stop = () => void archive.destroy(signal.reason);
  signal.addEventListener("abort", stop);
  archive.on("error", (error) => entries.destroy(error)).pipe(entries);
  try {
    for await (const entry of entries) {
      const tar = wanted.size > 0 && entry.header.type === "file" && LAYER_FILE.test(entry.header.name) ? await layerTar(entry) : null;
      if (tar === null) {
        entry.resume();
        continue;
      }
      const layer = await putLayer(engine, tar);
      if (wanted.delete(layer.digest)) found.set(layer.digest, layer);
    }
    signal.throwIfAborted();
    return found;
  } finally {
    signal.removeEventListener("abort", stop);
    archive.destroy();
  }
}

/** Null: it is one of the JSON files that lie beside the layers. */
async function layerTar(entry: Entry): Promise<Readable | null> {
  const chunks = entry[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  const first = await chunks.next();
  if (first.done || first.value[0] === JSON_BYTE) return null;
  return inflate(
    Readable.from(
      (async function* () {
        yield first.value;
        yield* { [Symbol.asyncIterator]: () => chunks };
      })(),
      { objectMode: false },
    ),
  );
}
