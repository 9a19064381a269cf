import { basename, dirname, join } from "node:path/posix";
import { tarOf } from "@banyan/files";
import { type Change, changesOf, type TreePart } from "@banyan/runtime";
import type { DiffOf } from "./diff.ts";

const WHITEOUT_PREFIX = ".wh.";

/** Added and changed entries as they are now; a deleted one as an empty file `.wh.<name>` beside where it was, as in an OCI layer. */
export function changesTar({ trees, within }: DiffOf): AsyncGenerator<Uint8Array, void, undefined> {
  return tarOf(treeParts(changesOf(trees, { ...within, bytesMax: Number.MAX_SAFE_INTEGER })));
}

async function* treeParts(parts: ReturnType<typeof changesOf>): AsyncGenerator<TreePart, void, undefined> {
  let isKept = false;
  for await (const part of parts) {
    if ("end" in part) return;
    if ("data" in part) {
      if (isKept) yield { data: part.data };
      continue;
    }
    const entry = entryOf(part.change);
    isKept = entry !== null;
    if (entry !== null) yield { entry };
  }
}

type Entry = Extract<TreePart, { entry: unknown }>["entry"];

/** Null for what a tar cannot hold: what has gone meanwhile, sockets and devices, and names that would read as deletions. */
function entryOf({ path, now, target, bytes }: Change): Entry | null {
  const name = path.toString("latin1");
  if (isMark(name)) return null;
  if (now === null) {
    const mark = join(dirname(name), WHITEOUT_PREFIX + basename(name));
    return { ...named(Buffer.from(mark, "latin1")), type: "file", mode: 0o644, size: 0, mtimeMs: 0, uid: 0, gid: 0 };
  }
  if (now.type === "file" && bytes === null) return null;
  return { ...now, ...named(path), size: bytes ?? 0, ...(target !== null && { link: target.toString() }) };
}

const named = (path: Buffer): Pick<Entry, "path" | "rawPath"> => ({ path: path.toString(), rawPath: path });
const isMark = (path: string): boolean => path.startsWith(WHITEOUT_PREFIX) || path.includes(`/${WHITEOUT_PREFIX}`);
