import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import type { BlobInfo } from "@banyan/bus";

/** A blob store in memory, which passes the port's conformance suite; its contents can be looked at and spoiled. */
export class MemoryBlobs {
  readonly contents = new Map<string, Buffer>();
  readonly #putAt = new Map<string, number>();

  async put(name: string, content: Readable): Promise<{ sizeBytes: number }> {
    const bytes = await buffer(content);
    this.contents.set(name, bytes);
    this.#putAt.set(name, Date.now());
    return { sizeBytes: bytes.length };
  }

  async get(name: string): Promise<Readable | null> {
    const bytes = this.contents.get(name);
    return bytes === undefined ? null : Readable.from(pieces(bytes), { objectMode: false });
  }

  async has(name: string): Promise<boolean> {
    return this.contents.has(name);
  }

  async delete(name: string): Promise<void> {
    this.contents.delete(name);
  }

  async *list(prefix: string): AsyncGenerator<BlobInfo> {
    for (const [name, bytes] of this.contents)
      if (name.startsWith(prefix)) yield { name, sizeBytes: bytes.length, putAt: this.#putAt.get(name) ?? 0 };
  }
}

const PIECE_BYTES = 64 * 1024;

function* pieces(bytes: Buffer): Generator<Buffer> {
  for (let at = 0; at < bytes.length; at += PIECE_BYTES) yield bytes.subarray(at, at + PIECE_BYTES);
}
