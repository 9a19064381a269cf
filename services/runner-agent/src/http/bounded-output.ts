import { toText } from "./utf8.ts";

/** The first bytes of one output stream. Init stops sending at the same bound, but what it does is not trusted. */
export class BoundedOutput {
  readonly #maxBytes: number;
  readonly #chunks: Buffer[] = [];
  #keptBytes = 0;
  #droppedBytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** What of the chunk is within the bound. */
  admit(chunk: Buffer): Buffer {
    const kept = chunk.subarray(0, this.#maxBytes - this.#keptBytes);
    this.#keptBytes += kept.length;
    this.#droppedBytes += chunk.length - kept.length;
    return kept;
  }

  push(chunk: Buffer): void {
    const kept = this.admit(chunk);
    if (kept.length > 0) this.#chunks.push(kept);
  }

  /** Whether of `producedBytes` some are not here. */
  isCut(producedBytes: number): boolean {
    return this.#droppedBytes > 0 || producedBytes > this.#keptBytes;
  }

  text(producedBytes: number): string {
    return toText(this.#chunks, this.isCut(producedBytes));
  }
}
