import { Readable } from "node:stream";
import type { Extract, Header, Pack } from "tar-stream";

/** What an entry is written with: of all a header has, only the name must be given. */
export type NewHeader = Partial<Header> & Pick<Header, "name">;
export type Entry = Extract extends AsyncIterable<infer Source> ? Source : never;

/** As a stream of Node's own, which is what the engine's client takes. */
export function readableOf(tar: Pack | Entry): Readable {
  return Readable.from(tar, { objectMode: false });
}
