import type { Readable } from "node:stream";

export interface BlobInfo {
  name: string;
  sizeBytes: number;
  /** When it was put, Unix milliseconds. */
  putAt: number;
}

/** Bulk bytes under a name: layers between nodes, build contexts. Bytes stream; none of them is held whole. */
export interface BlobStore {
  /** Whole or not at all; replaces what was there. */
  put(name: string, content: Readable): Promise<{ sizeBytes: number }>;
  /** Null: there is none. The stream goes on where it broke, for a bounded time; it fails, with `details.corrupt`, when the bytes are not those that were put. */
  get(name: string): Promise<Readable | null>;
  has(name: string): Promise<boolean>;
  /** Of one that is not there: success. */
  delete(name: string): Promise<void>;
  /** Those whose name begins so, in no order, read as they are taken. What is put or deleted meanwhile may be among them or not. */
  list(prefix: string): AsyncIterable<BlobInfo>;
}
