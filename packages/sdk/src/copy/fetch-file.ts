import { createHash } from "node:crypto";
import { open, rename, rm, stat } from "node:fs/promises";
import { isBanyanError } from "../error.ts";
import type { FileInfo, Files } from "../files.ts";
import { persistently } from "../upload.ts";
import { bytesOf } from "./local-tree.ts";

/** A broken connection is taken up where it broke so often without a byte between. */
const BROKEN_MAX = 10;

export interface FetchOptions {
  mode: number;
  signal: AbortSignal | undefined;
  /** How many were here before. */
  onResumed(bytes: number): void;
  /** How many bytes more are here. */
  onBytes(bytes: number): void;
}

/**
 * One file, beside its place until it is whole. What an interrupted copy has left of the same file, by size and time, is gone on with.
 */
export async function fetchFile(
  files: Files,
  info: FileInfo,
  at: string,
  { mode, signal, onResumed, onBytes }: FetchOptions,
): Promise<void> {
  const part = partOf(at, info);
  const file = await open(bytesOf(part), "a", 0o600);
  try {
    let have = (await file.stat()).size;
    if (have > info.size) {
      await file.truncate(0);
      have = 0;
    }
    onResumed(have);
    for (let broken = 0; have < info.size; ) {
      const before = have;
      try {
        const stream = await persistently(signal, () => files.readStream(info.path, { offset: have, signal }));
        for await (const chunk of stream as AsyncIterable<Uint8Array>) {
          await file.write(chunk);
          have += chunk.length;
          onBytes(chunk.length);
        }
        if (have === before) throw new Error("it became shorter while it was read; copy again");
      } catch (error) {
        broken = have > before ? 0 : broken + 1;
        if (signal?.aborted || isBanyanError(error) || have === before || broken > BROKEN_MAX) throw error;
      }
    }
    if (have > info.size) throw new Error("it became longer while it was read; copy again");
    await file.chmod(mode);
    // Seconds are a floating-point number there: a little more than the millisecond, lest less becomes of it.
    await file.utimes(new Date(), (Date.parse(info.modifiedAt) + 0.1) / 1_000);
  } catch (error) {
    await file.close();
    // What is not what was listed is no beginning of anything.
    if (!signal?.aborted && !isBanyanError(error)) await rm(bytesOf(part), { force: true });
    throw error;
  }
  await file.close();
  await refuseDirectory(at);
  await rename(bytesOf(part), bytesOf(at));
}

async function refuseDirectory(at: string): Promise<void> {
  const there = await stat(bytesOf(at)).catch(() => null);
  if (there?.isDirectory()) throw new Error("a directory is in its place");
}

/** Short enough for a name of any length. */
function partOf(at: string, { path, size, modifiedAt }: FileInfo): string {
  const hash = createHash("sha256")
    .update(JSON.stringify([path, size, modifiedAt]))
    .digest("hex")
    .slice(0, 16);
  return `${at.slice(0, at.lastIndexOf("/") + 1)}.banyan-part-${hash}`;
}
