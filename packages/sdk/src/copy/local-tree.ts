import { createHash } from "node:crypto";
import { constants } from "node:fs";
import { type FileHandle, lstat, open, readdir, readlink } from "node:fs/promises";
import type { Found } from "./compare.ts";

const MODE_BITS = 0o7777n;
const NS_PER_MS = 1_000_000n;
const READ_BYTES = 1024 * 1024;

/** Names of this machine are bytes, one to a character, so that those that are no text are not lost; ASCII stays as it is. */
export const bytesOf = (path: string): Buffer<ArrayBuffer> => Buffer.from(path, "latin1");
export const textOf = (path: string): string => bytesOf(path).toString("utf8");
export const pathOf = (text: string): string => Buffer.from(text, "utf8").toString("latin1");
export const below = (directory: string, name: string): string => (directory === "" ? name : `${directory}/${name}`);

/** Something that lies here. */
export interface LocalEntry {
  /** From where the copy begins on; empty: that itself. */
  path: string;
  /** Where it is. */
  at: string;
  found: Found;
  uid: number;
  gid: number;
}

/** Whole milliseconds, cut as they are where the volume lies: `mtimeMs` has them rounded by a floating-point number. */
export const wholeMs = ({ mtimeNs }: { mtimeNs: bigint }): number => Number(mtimeNs / NS_PER_MS);
export const modeOf = ({ mode }: { mode: bigint }): number => Number(mode & MODE_BITS);

export async function lookAt(at: string, path: string): Promise<LocalEntry> {
  const info = await lstat(bytesOf(at), { bigint: true });
  const mode = modeOf(info);
  const known = { path, at, uid: Number(info.uid), gid: Number(info.gid) };
  if (info.isFile()) return { ...known, found: { type: "file", size: Number(info.size), mtimeMs: wholeMs(info), mode } };
  if (info.isDirectory()) return { ...known, found: { type: "directory", mode } };
  if (!info.isSymbolicLink()) return { ...known, found: { type: "other" } };
  const target = (await readlink(bytesOf(at), { encoding: "buffer" })).toString("latin1");
  return { ...known, found: { type: "symlink", target } };
}

/** In order. */
export async function namesIn(directory: string): Promise<string[]> {
  const names = await readdir(bytesOf(directory), { encoding: "buffer" });
  return names.map((name) => name.toString("latin1")).toSorted();
}

/** Never through a link that took the file's place meanwhile, and never waiting for a pipe's other end. */
export function openFile(at: string): Promise<FileHandle> {
  return open(bytesOf(at), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
}

export async function digestOfFile(at: string): Promise<string> {
  const file = await openFile(at);
  try {
    const hash = createHash("sha256");
    const buffer = Buffer.alloc(READ_BYTES);
    for (;;) {
      const { bytesRead } = await file.read(buffer, 0, buffer.length, null);
      if (bytesRead === 0) return hash.digest("hex");
      hash.update(buffer.subarray(0, bytesRead));
    }
  } finally {
    await file.close();
  }
}

export async function readExactly(file: FileHandle, offset: number, length: number): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(length);
  let filled = 0;
  while (filled < length) {
    const { bytesRead } = await file.read(bytes, filled, length - filled, offset + filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return bytes.subarray(0, filled);
}
