import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { lstat, readdir, readFile, readlink, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { ignoreOf, takesBack } from "./ignore.ts";
import { type TarEntry, tarEnd, tarHeader, tarPadding } from "./tar.ts";

const IGNORE_FILE = ".dockerignore";
const ENTRIES_MAX = 200_000;

/** Files here as one tar, named by its digest. Nothing is held: it is read once for the digest, and again where it has to be sent. */
export interface PackedContext {
  digest: string;
  sizeBytes: number;
  /** What of it was meant: `.`, or the one file. */
  root: string;
  read(): AsyncGenerator<Uint8Array, void, undefined>;
}

/**
 * The same files make the same bytes: names in order, no owners, no times, and of the modes only whether it can be executed. So an unchanged
 * directory keeps its digest, on another machine and after a fresh checkout too.
 */
export async function packContext(path: string, ignore: readonly string[]): Promise<PackedContext> {
  const isDirectory = (await stat(path)).isDirectory();
  const base = isDirectory ? path : dirname(path);
  const entries = isDirectory ? await list(path, [...(await ignoreFile(path)), ...ignore]) : [await entryOf(base, basename(path))];
  const hash = createHash("sha256");
  let sizeBytes = 0;
  for await (const chunk of tar(base, entries)) {
    hash.update(chunk);
    sizeBytes += chunk.length;
  }
  const root = isDirectory ? "." : basename(path);
  return { digest: `sha256:${hash.digest("hex")}`, sizeBytes, root, read: () => tar(base, entries) };
}

async function ignoreFile(directory: string): Promise<string[]> {
  const text = await readFile(join(directory, IGNORE_FILE), "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return "";
    throw error;
  });
  return text.split(/\r?\n/);
}

async function list(base: string, lines: readonly string[]): Promise<TarEntry[]> {
  const ignored = ignoreOf(lines);
  const looksBelow = takesBack(lines);
  const entries: TarEntry[] = [];
  const walk = async (directory: string): Promise<void> => {
    const names = await readdir(join(base, directory));
    for (const name of names.toSorted()) {
      const path = directory === "" ? name : `${directory}/${name}`;
      const leftOut = ignored(path);
      if (leftOut && !looksBelow) continue;
      const entry = await entryOf(base, path);
      if (!leftOut) entries.push(entry);
      if (entries.length > ENTRIES_MAX)
        throw new RangeError(`${base} holds more than ${ENTRIES_MAX} files; leave some out with ${IGNORE_FILE}`);
      if (entry.type === "directory") await walk(path);
    }
  };
  await walk("");
  return entries;
}

async function entryOf(base: string, path: string): Promise<TarEntry> {
  const info = await lstat(join(base, path));
  const plain = { path, executable: (info.mode & 0o111) !== 0, sizeBytes: 0, linkTarget: "" };
  if (info.isFile()) return { ...plain, type: "file", sizeBytes: info.size };
  if (info.isDirectory()) return { ...plain, type: "directory" };
  if (info.isSymbolicLink()) return { ...plain, type: "symlink", linkTarget: await readlink(join(base, path)) };
  throw new TypeError(`${join(base, path)} is neither a file, a directory nor a link; leave it out with ${IGNORE_FILE}`);
}

async function* tar(base: string, entries: readonly TarEntry[]): AsyncGenerator<Uint8Array, void, undefined> {
  for (const entry of entries) {
    yield tarHeader(entry);
    if (entry.type !== "file" || entry.sizeBytes === 0) continue;
    let left = entry.sizeBytes;
    for await (const chunk of createReadStream(join(base, entry.path))) {
      left -= (chunk as Uint8Array).length;
      if (left < 0) break;
      yield chunk as Uint8Array;
    }
    if (left !== 0) throw new Error(`${join(base, entry.path)} changed while it was read`);
    yield tarPadding(entry.sizeBytes);
  }
  yield tarEnd();
}
