import { createReadStream, createWriteStream } from "node:fs";
import { rm } from "node:fs/promises";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { constants, createZstdCompress } from "node:zlib";
import type { LayerRef } from "@banyan/contracts";
import { LayerMeter } from "./layer-meter.ts";

/** Fast rather than small: the source of a snapshot waits for it. */
const ZSTD_LEVEL = 1;

/** A layer as one file, compressed as the blob store holds it. */
export interface SpooledLayer {
  layer: LayerRef;
  open(): Readable;
  remove(): Promise<void>;
}

/** Writes a layer's tar to a file, which tells its digest: a blob can be put only under its name. What fails leaves no file. */
export async function spoolLayer(tar: Readable, file: string, signal?: AbortSignal): Promise<SpooledLayer> {
  const meter = new LayerMeter();
  const remove = () => rm(file, { force: true });
  try {
    const zstd = createZstdCompress({ params: { [constants.ZSTD_c_compressionLevel]: ZSTD_LEVEL } });
    await pipeline(tar, meter, zstd, createWriteStream(file, { mode: 0o600 }), signal === undefined ? {} : { signal });
    return { layer: meter.result(), open: () => createReadStream(file), remove };
  } catch (error) {
    await remove();
    throw error;
  }
}
