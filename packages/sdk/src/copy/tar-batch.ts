import { type TreeEntry, tarEnd, tarPadding, treeHeader } from "../tar.ts";
import type { LocalEntry } from "./local-tree.ts";

/** What travels as one request: held, so that it can be sent again. */
export const BATCH_BYTES = 8 * 1024 * 1024;
const BATCH_ENTRIES = 1_000;

export interface Packed {
  entry: LocalEntry;
  header: TreeEntry;
  content: Uint8Array<ArrayBuffer>;
}

/** Small things that travel together. */
export class TarBatch {
  readonly items: Packed[] = [];
  #bytes = 0;

  /** Whether it has room for so much more. */
  fits(bytes: number): boolean {
    return this.items.length === 0 || (this.items.length < BATCH_ENTRIES && this.#bytes + bytes <= BATCH_BYTES);
  }

  add(item: Packed): void {
    this.items.push(item);
    this.#bytes += item.content.length;
  }
}

export function tarOf(items: readonly Packed[]): Uint8Array<ArrayBuffer> {
  const parts = items.flatMap(({ header, content }) => [treeHeader(header), content, tarPadding(content.length)]);
  return Buffer.concat([...parts, tarEnd()]);
}
