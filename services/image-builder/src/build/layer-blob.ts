import { createReadStream } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { fault, type LayerRef, layerBlob } from "@banyan/contracts";
import { messageOf, newId } from "@banyan/kernel";
import type { Engine } from "./engine.ts";
import { NO_SPACE } from "./engine-fault.ts";
import { writeLayer } from "./layer-file.ts";

/** Puts a layer's tar where nodes fetch it, unless it is there. Its name is known when it was read to the end, so it goes by way of a file. */
export async function putLayer(engine: Pick<Engine, "blobs" | "draftsDirectory">, tar: Readable): Promise<LayerRef> {
  const draft = join(engine.draftsDirectory, newId("req"));
  try {
    const layer = await writeLayer(tar, draft);
    if (!(await engine.blobs.has(layerBlob(layer.digest)))) await engine.blobs.put(layerBlob(layer.digest), createReadStream(draft));
    return layer;
  } catch (cause) {
    throw NO_SPACE.test(messageOf(cause)) ? fault("build.disk_full", { step: "keep a layer" }, { cause }) : cause;
  } finally {
    await rm(draft, { force: true });
  }
}
