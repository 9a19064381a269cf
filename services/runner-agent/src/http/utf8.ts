import { isUtf8 } from "node:buffer";

const SEQUENCE_BYTES_MAX = 4;

/** How many bytes at the end are the start of a character whose rest is still to come. */
function incompleteTail(bytes: Uint8Array): number {
  const lookBack = Math.min(SEQUENCE_BYTES_MAX - 1, bytes.length);
  for (let back = 1; back <= lookBack; back++) {
    const byte = bytes[bytes.length - back] ?? 0;
    if (byte < 0x80) return 0;
    if (byte < 0xc0) continue;
    // Nothing starts with 0xf5 or more.
    if (byte >= 0xf5) return 0;
    const length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2;
    return length > back ? back : 0;
  }
  return 0;
}

export type Utf8Chunk = { text: string } | { base64: string };

/** Cuts a stream of bytes between characters. What is not UTF-8 comes as base64, so that nothing is lost. */
export class Utf8Chunks {
  #held: Buffer = Buffer.alloc(0);

  push(bytes: Buffer): Utf8Chunk | null {
    const all = this.#held.length === 0 ? bytes : Buffer.concat([this.#held, bytes]);
    const tail = incompleteTail(all);
    // Copied: the rest of a chunk must not keep the whole of it alive.
    this.#held = Buffer.from(all.subarray(all.length - tail));
    return toChunk(all.subarray(0, all.length - tail));
  }

  end(): Utf8Chunk | null {
    const rest = this.#held;
    this.#held = Buffer.alloc(0);
    return toChunk(rest);
  }
}

function toChunk(bytes: Buffer): Utf8Chunk | null {
  if (bytes.length === 0) return null;
  return isUtf8(bytes) ? { text: bytes.toString("utf8") } : { base64: bytes.toString("base64") };
}

/** For a JSON reply: what is not UTF-8 becomes U+FFFD, and a cut never leaves half a character. */
export function toText(chunks: readonly Buffer[], cut: boolean): string {
  const bytes = chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks);
  return bytes.toString("utf8", 0, cut ? bytes.length - incompleteTail(bytes) : bytes.length);
}
