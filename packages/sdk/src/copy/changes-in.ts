import { isUtf8 } from "node:buffer";
import { isBanyanError } from "../error.ts";
import type { FileInfo, Files } from "../files.ts";
import { compare, type Deed } from "./compare.ts";
import { endsCopy } from "./failures.ts";
import { below, bytesOf, digestOfFile, type LocalEntry, lookAt, namesIn, pathOf, textOf } from "./local-tree.ts";
import type { CopyOptions } from "./options.ts";
import { foundOf, joined } from "./remote-tree.ts";
import type { Tally } from "./tally.ts";

/** What has to happen in the volume. `path` is from where the copy begins on. */
export type ChangeIn =
  | { kind: "copy"; entry: LocalEntry; replaces: boolean }
  | { kind: "mode"; entry: LocalEntry; mode: number }
  | { kind: "delete"; path: string };

interface Sides {
  files: Files;
  /** Where the copy begins, here and there. */
  from: string;
  to: string;
  options: CopyOptions;
  tally: Tally;
}

/** Every difference below a directory, a directory before what is in it. Of each side one directory at a time is held. */
export async function* changesIn(sides: Sides): AsyncGenerator<ChangeIn, void, undefined> {
  const { options, tally } = sides;
  const waiting: { path: string; isThere: boolean }[] = [{ path: "", isThere: true }];
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const { path, isThere } = next;
    let names: string[];
    try {
      names = await namesIn(hereOf(sides, path));
    } catch (error) {
      tally.failed(path, error);
      continue;
    }
    const there = isThere ? await infosIn(sides, path) : new Map<string, FileInfo>();
    const directories: typeof waiting = [];
    for (const name of names) {
      options.signal?.throwIfAborted();
      const other = there.get(textOf(name));
      there.delete(textOf(name));
      const seen = await attempt(tally, below(path, name), () => one(sides, below(path, name), other));
      if (seen === null) continue;
      if (seen.change !== null) yield seen.change;
      if (seen.entry.found.type === "directory") directories.push({ path: seen.entry.path, isThere: other?.type === "directory" });
    }
    if (options.delete) for (const name of there.keys()) yield { kind: "delete", path: below(path, pathOf(name)) };
    waiting.push(...directories.reverse());
  }
}

const hereOf = ({ from }: Sides, path: string): string => (path === "" ? from : `${from}/${path}`);
const thereOf = ({ to }: Sides, path: string): string => (path === "" ? to : joined(to, textOf(path)));

/** None of a directory that has gone since it was seen, or whose name is no text and cannot be asked for: all of it is copied. */
async function infosIn(sides: Sides, path: string): Promise<Map<string, FileInfo>> {
  if (!isUtf8(bytesOf(path))) return new Map();
  try {
    return new Map((await sides.files.list(thereOf(sides, path))).map((info) => [info.name, info]));
  } catch (error) {
    if (isBanyanError(error, "file.not_found", "file.not_a_directory")) return new Map();
    throw error;
  }
}

async function attempt<T>(tally: Tally, path: string, work: () => Promise<T>): Promise<T | null> {
  try {
    return await work();
  } catch (error) {
    if (endsCopy(error)) throw error;
    tally.failed(path, error);
    return null;
  }
}

async function one(sides: Sides, path: string, there: FileInfo | undefined): Promise<{ entry: LocalEntry; change: ChangeIn | null }> {
  const entry = await lookAt(hereOf(sides, path), path);
  return { entry, change: await changeOf(entry, there, sides) };
}

/** The difference of one entry; null: none, or none that is copied. */
export async function changeOf(entry: LocalEntry, there: FileInfo | undefined, sides: Sides): Promise<ChangeIn | null> {
  const { tally, options } = sides;
  const deed = withOwner(await settled(compare(entry.found, there && foundOf(there), options), entry, there, sides), entry, there, options);
  const mode = "mode" in entry.found ? entry.found.mode : 0;
  if (deed.kind === "refuse") tally.failed(entry.path, new Error(deed.reason));
  if (deed.kind === "skip") tally.done("skip", entry.path);
  if (deed.kind === "none") tally.result.unchanged++;
  if (deed.kind === "mode") return { kind: "mode", entry, mode };
  if (deed.kind !== "copy") return null;
  tally.found(entry.found.type === "file" ? entry.found.size : 0);
  return { kind: "copy", entry, replaces: deed.replaces };
}

/** A link has no owner that could be changed where it lies. */
function withOwner(deed: Deed, { uid, gid, found }: LocalEntry, there: FileInfo | undefined, { owners }: CopyOptions): Deed {
  const isOthers = owners === true && there !== undefined && (there.uid !== uid || there.gid !== gid);
  if (deed.kind !== "none" || !isOthers) return deed;
  return found.type === "symlink" ? { kind: "copy", replaces: true } : { kind: "mode" };
}

async function settled(deed: Deed, entry: LocalEntry, there: FileInfo | undefined, { files, options }: Sides): Promise<Deed> {
  if (deed.kind !== "check" || there === undefined) return deed;
  const [here, other] = await Promise.all([digestOfFile(entry.at), files.checksum(there.path, { signal: options.signal })]);
  if (here !== other.sha256) return { kind: "copy", replaces: false };
  return deed.modeDiffers ? { kind: "mode" } : { kind: "none" };
}
