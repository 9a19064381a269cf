import type { FileInfo, Files } from "../files.ts";
import { compare, type Deed, type Found } from "./compare.ts";
import { endsCopy } from "./failures.ts";
import { below, digestOfFile, lookAt, namesIn, pathOf } from "./local-tree.ts";
import type { CopyOptions } from "./options.ts";
import { foundOf, joined } from "./remote-tree.ts";
import type { Tally } from "./tally.ts";

/** What has to happen here. `path` is from where the copy begins on. */
export type ChangeOut =
  | { kind: "copy"; path: string; info: FileInfo; found: Found; replaces: boolean }
  | { kind: "mode"; path: string; mode: number }
  | { kind: "delete"; path: string };

export interface SidesOut {
  files: Files;
  from: string;
  to: string;
  options: CopyOptions;
  tally: Tally;
}

/** Beyond what a user owns, a mode says nothing here that a volume should decide. */
const MODE_BITS = 0o777;

/** Every difference below a directory, a directory before what is in it. */
export async function* changesOut(sides: SidesOut): AsyncGenerator<ChangeOut, void, undefined> {
  const { files, options, tally } = sides;
  const waiting: { path: string; isThere: boolean }[] = [{ path: "", isThere: true }];
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const { path, isThere } = next;
    const infos = await listed(files, sides, path);
    if (infos === null) continue;
    const here = new Set(isThere ? await namesHere(hereOf(sides, path)) : []);
    const directories: typeof waiting = [];
    for (const info of infos) {
      options.signal?.throwIfAborted();
      const name = pathOf(info.name);
      const isKnown = here.delete(name);
      const at = below(path, name);
      try {
        const { change, isDirectoryHere } = await one(sides, at, info, isKnown);
        if (change !== null) yield change;
        if (info.type === "directory") directories.push({ path: at, isThere: isDirectoryHere });
      } catch (error) {
        if (endsCopy(error)) throw error;
        tally.failed(at, error);
      }
    }
    if (options.delete) for (const name of here) yield { kind: "delete", path: below(path, name) };
    waiting.push(...directories.reverse());
  }
}

export const hereOf = ({ to }: Pick<SidesOut, "to">, path: string): string => (path === "" ? to : `${to}/${path}`);

async function listed(files: Files, sides: SidesOut, path: string): Promise<FileInfo[] | null> {
  try {
    const infos = await files.list(path === "" ? sides.from : joined(sides.from, Buffer.from(path, "latin1").toString("utf8")));
    return infos.toSorted((a, b) => (a.name < b.name ? -1 : 1));
  } catch (error) {
    if (endsCopy(error)) throw error;
    sides.tally.failed(path, error);
    return null;
  }
}

/** What is no directory here goes before anything is put below it, so it has no names either. */
async function namesHere(at: string): Promise<string[]> {
  try {
    return await namesIn(at);
  } catch (error) {
    if (error instanceof Error && "code" in error && (error.code === "ENOENT" || error.code === "ENOTDIR")) return [];
    throw error;
  }
}

async function one(
  sides: SidesOut,
  path: string,
  info: FileInfo,
  isKnown: boolean,
): Promise<{ change: ChangeOut | null; isDirectoryHere: boolean }> {
  refuseName(info.name);
  const here = isKnown ? await lookAt(hereOf(sides, path), path) : undefined;
  const isDirectoryHere = here?.found.type === "directory";
  return { change: await changeOf(sides, path, info, here?.found), isDirectoryHere };
}

/** What comes out of a volume is not trusted: a name stays below its directory. */
function refuseName(name: string): void {
  if (name === "" || name === "." || name === ".." || name.includes("/") || name.includes("\0"))
    throw new Error("its name leads elsewhere");
  if (name.includes("\uFFFD")) throw new Error("its name is no UTF-8; a tar of its directory has it");
}

const plain = (found: Found): Found => ("mode" in found ? { ...found, mode: found.mode & MODE_BITS } : found);

export async function changeOf(sides: SidesOut, path: string, info: FileInfo, here: Found | undefined): Promise<ChangeOut | null> {
  const { tally, options } = sides;
  const found = plain(foundOf(info));
  const deed = await settled(compare(found, here && plain(here), options), sides, path, info);
  if (deed.kind === "refuse") tally.failed(path, new Error(deed.reason));
  if (deed.kind === "skip") tally.done("skip", path);
  if (deed.kind === "none") tally.result.unchanged++;
  if (deed.kind === "mode" && "mode" in found) return { kind: "mode", path, mode: found.mode };
  if (deed.kind !== "copy") return null;
  tally.found(found.type === "file" ? found.size : 0);
  return { kind: "copy", path, info, found, replaces: deed.replaces };
}

async function settled(deed: Deed, sides: SidesOut, path: string, info: FileInfo): Promise<Deed> {
  if (deed.kind !== "check") return deed;
  const [here, other] = await Promise.all([
    digestOfFile(hereOf(sides, path)),
    sides.files.checksum(info.path, { signal: sides.options.signal }),
  ]);
  if (here !== other.sha256) return { kind: "copy", replaces: false };
  return deed.modeDiffers ? { kind: "mode" } : { kind: "none" };
}
