import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { pack } from "tar-stream";
import { type ContextEntryType, checkEntry } from "./context.ts";
import { entriesOf, refused } from "./sent-tar.ts";
import { readableOf } from "./tar-streams.ts";

/** Unlike anything a context has. */
export const DOCKERFILE_NAME = ".banyan.Dockerfile";
const IGNORE_NAME = ".dockerignore";
const IGNORE_BYTES_MAX = 1024 * 1024;

/** What the engine is sent: the context as it came, unpacked of compression, with the Dockerfile in it and kept out of what COPY takes. */
export function dockerfileContext(text: string, context: Readable | null): Readable {
  const tar = pack();
  const packing = (async () => {
    tar.entry({ name: DOCKERFILE_NAME }, text);
    const ignored = context === null ? null : await copyEntries(context, tar);
    const own = ignored === null ? [IGNORE_NAME] : [];
    tar.entry({ name: IGNORE_NAME }, [...(ignored === null ? [] : [ignored]), DOCKERFILE_NAME, ...own, ""].join("\n"));
    tar.finalize();
  })();
  packing.catch((error) => tar.destroy(error));
  return readableOf(tar);
}

/** Answers the context's own list of what is to be left out. */
async function copyEntries(context: Readable, tar: ReturnType<typeof pack>): Promise<string | null> {
  const before = new Map<string, ContextEntryType>();
  let ignored: string | null = null;
  for await (const entry of entriesOf(context)) {
    const { path, type } = checkEntry(entry.header, before);
    before.set(path, type);
    if (path === IGNORE_NAME && type === "file") {
      const chunks: Buffer[] = [];
      if (entry.header.size > IGNORE_BYTES_MAX) throw refused(path, `it is larger than ${IGNORE_BYTES_MAX} bytes`);
      for await (const chunk of readableOf(entry)) chunks.push(chunk);
      ignored = Buffer.concat(chunks).toString("utf8");
      continue;
    }
    await pipeline(entry, tar.entry(entry.header));
  }
  return ignored;
}
