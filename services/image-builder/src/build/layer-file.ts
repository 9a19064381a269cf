import { createHash } from "node:crypto";
import { createWriteStream } from "node:fs";
import { type Readable, Transform, type TransformCallback } from "node:stream";
import { pipeline } from "node:stream/promises";
import { constants, createZstdCompress } from "node:zlib";
import type { LayerRef } from "@banyan/contracts";

const ZSTD_LEVEL = 3;
const CHUNK_BYTES = 1024 * 1024;
const LAYER_BYTES_MAX = 8 * 1024 ** 3;

/** Writes a tar as a layer: compressed in the file, named by what it was before. */
export async function writeLayer(tar: Readable, path: string): Promise<LayerRef> {
  const meter = new Meter();
  const compress = createZstdCompress({ chunkSize: CHUNK_BYTES, params: { [constants.ZSTD_c_compressionLevel]: ZSTD_LEVEL } });
  await pipeline(tar, meter, compress, createWriteStream(path, { flags: "wx", mode: 0o600 }));
  return meter.result();
}

class Meter extends Transform {
  readonly #hash = createHash("sha256");
  #bytes = 0;

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    this.#bytes += chunk.length;
    this.#hash.update(chunk);
    if (this.#bytes <= LAYER_BYTES_MAX) done(null, chunk);
    else done(new Error(`the layer is larger than ${LAYER_BYTES_MAX} bytes`));
  }

  result(): LayerRef {
    return { digest: `sha256:${this.#hash.digest("hex")}`, sizeBytes: this.#bytes };
  }
}
