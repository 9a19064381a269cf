import { createWriteStream } from "node:fs";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { constants, createZstdCompress } from "node:zlib";
import type { LayerRef } from "@banyan/contracts";
import { LayerMeter } from "@banyan/runtime";

const ZSTD_LEVEL = 3;
const CHUNK_BYTES = 1024 * 1024;
const LAYER_BYTES_MAX = 8 * 1024 ** 3;

/** Writes a tar as a layer: compressed in the file, named by what it was before. */
export async function writeLayer(tar: Readable, path: string): Promise<LayerRef> {
  const meter = new LayerMeter(LAYER_BYTES_MAX);
  const compress = createZstdCompress({ chunkSize: CHUNK_BYTES, params: { [constants.ZSTD_c_compressionLevel]: ZSTD_LEVEL } });
  await pipeline(tar, meter, compress, createWriteStream(path, { flags: "wx", mode: 0o600 }));
  return meter.result();
}
