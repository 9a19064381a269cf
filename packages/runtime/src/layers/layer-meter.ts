import { createHash } from "node:crypto";
import { Transform, type TransformCallback } from "node:stream";
import type { LayerRef } from "@banyan/contracts";

/** Passes the tar of a layer on, and knows its name and size at the end. Fails past the bound. */
export class LayerMeter extends Transform {
  readonly #bytesMax: number;
  readonly #hash = createHash("sha256");
  #bytes = 0;

  constructor(bytesMax = Number.POSITIVE_INFINITY) {
    super();
    this.#bytesMax = bytesMax;
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    this.#bytes += chunk.length;
    this.#hash.update(chunk);
    if (this.#bytes <= this.#bytesMax) done(null, chunk);
    else done(new Error(`the layer is larger than ${this.#bytesMax} bytes`));
  }

  result(): LayerRef {
    return { digest: `sha256:${this.#hash.digest("hex")}`, sizeBytes: this.#bytes };
  }
}
