import { chmod, lchown, lstat, readdir, rename, rm, utimes, writeFile } from "node:fs/promises";
import { OPAQUE_MARK, WHITEOUT_PREFIX } from "./whiteouts.ts";

const PREFIX = Buffer.from(WHITEOUT_PREFIX);
const OPAQUE = Buffer.from(OPAQUE_MARK);

/** A filesystem knows no encoding: a name is bytes. */
const within = (directory: Buffer, name: Buffer): Buffer => Buffer.concat([directory, Buffer.from("/"), name]);

/**
 * Moves one unpacked layer over another, both with the marks of OCI, so that the second is what the two are together. The marks stay: what they hide may
 * lie below both. Of a directory that both have the upper one's rights count, and the lower one's attributes.
 */
export async function stackOver(upper: string, lower: string): Promise<void> {
  await stackDirectory(Buffer.from(upper), Buffer.from(lower));
}

async function stackDirectory(upper: Buffer, lower: Buffer): Promise<void> {
  const names = await readdir(upper, { encoding: "buffer" });
  if (names.some((name) => name.equals(OPAQUE)))
    for (const name of await readdir(lower, { encoding: "buffer" })) await rm(within(lower, name), { recursive: true, force: true });
  // Marks first: what the same layer brings anew stays beside its mark.
  for (const name of names.filter(isMark)) await placeMark(upper, lower, name);
  for (const name of names.filter((each) => !isMark(each))) await placeEntry(upper, lower, name);
  const { mode, uid, gid, atime, mtime } = await lstat(upper);
  await lchown(lower, uid, gid);
  await chmod(lower, mode & 0o7777);
  await utimes(lower, atime, mtime);
}

const isMark = (name: Buffer): boolean => name.subarray(0, PREFIX.length).equals(PREFIX);

async function placeMark(upper: Buffer, lower: Buffer, name: Buffer): Promise<void> {
  if (!name.equals(OPAQUE)) await rm(within(lower, name.subarray(PREFIX.length)), { recursive: true, force: true });
  await rename(within(upper, name), within(lower, name));
}

async function placeEntry(upper: Buffer, lower: Buffer, name: Buffer): Promise<void> {
  const [from, to] = [within(upper, name), within(lower, name)];
  const [above, below] = [await lstat(from), await lstat(to).catch(() => null)];
  if (above.isDirectory() && below?.isDirectory()) {
    await stackDirectory(from, to);
    return;
  }
  // A mark for the same name stays: for a directory it says that this one hides what lies below.
  if (below !== null) await rm(to, { recursive: true, force: true });
  await rename(from, to);
  // As the file that it replaces has done.
  if (below !== null && above.isDirectory()) await writeFile(within(to, OPAQUE), "");
}
