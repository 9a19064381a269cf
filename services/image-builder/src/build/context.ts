import { posix } from "node:path";
import type { Readable } from "node:stream";
import { LIMITS } from "@banyan/contracts";
import type { Header } from "tar-stream";
import { entriesOf, refused } from "./sent-tar.ts";

export interface ContextLimits {
  bytesMax: number;
  entriesMax: number;
}

const CONTEXT_LIMITS: ContextLimits = { bytesMax: LIMITS.contextBytes, entriesMax: LIMITS.contextEntries };
const COMPONENT_BYTES_MAX = 255;
const TYPES = ["file", "contiguous-file", "directory", "symlink", "link"] as const;
export type ContextEntryType = (typeof TYPES)[number];

/** What an uploaded context holds, by path: looked through whole, before anything is done with it. */
export async function readContext(sent: Readable, limits: ContextLimits = CONTEXT_LIMITS): Promise<Map<string, ContextEntryType>> {
  const found = new Map<string, ContextEntryType>([[".", "directory"]]);
  let count = 0;
  for await (const entry of entriesOf(sent, limits.bytesMax)) {
    if (++count > limits.entriesMax) throw refused("", `it has more than ${limits.entriesMax} entries`);
    const { path, type } = checkEntry(entry.header, found);
    found.set(path, type);
    // A directory need not be an entry of its own.
    for (let parent = posix.dirname(path); !found.has(parent); parent = posix.dirname(parent)) found.set(parent, "directory");
    entry.resume();
  }
  return found;
}

/** An entry's path below the root, or a refusal. `before` are the entries it may stand on. */
export function checkEntry(header: Header, before: ReadonlyMap<string, ContextEntryType>): { path: string; type: ContextEntryType } {
  const path = pathIn(header.name, header.name);
  const type = TYPES.find((known) => known === header.type);
  if (type === undefined) throw refused(header.name, `a ${header.type ?? "entry of unknown kind"} cannot be in a context`);
  if (Object.keys(Object(header.pax)).some((key) => key.startsWith("GNU.sparse."))) throw refused(header.name, "it is a sparse file");
  if (!Number.isSafeInteger(header.size) || header.size < 0) throw refused(header.name, "its size is not a number of bytes");
  for (let parent = posix.dirname(path); parent !== "."; parent = posix.dirname(parent)) {
    if (before.get(parent) === "symlink") throw refused(header.name, "it goes through a symlink");
  }
  const target = header.linkname;
  if (type === "symlink") pathIn(header.name, target.startsWith("/") ? target : posix.join(posix.dirname(path), target));
  if (type === "link" && !["file", "contiguous-file", "link"].includes(before.get(pathIn(header.name, target)) ?? ""))
    throw refused(header.name, "it is a hard link to no file before it");
  return { path, type };
}

/** Of an entry's name or of where a link leads. */
function pathIn(entry: string, name: string): string {
  if (name === "" || name.includes("\0")) throw refused(entry, "it names no path");
  if (name.startsWith("/")) throw refused(entry, "it leads out of the context, to an absolute path");
  const path = posix.normalize(name).replace(/\/+$/, "") || ".";
  if (path === ".." || path.startsWith("../")) throw refused(entry, "it leads out of the context");
  if (Buffer.byteLength(path) > LIMITS.pathBytes || path.split("/").some((part) => Buffer.byteLength(part) > COMPONENT_BYTES_MAX))
    throw refused(entry.slice(0, COMPONENT_BYTES_MAX), "its path is too long");
  return path;
}
