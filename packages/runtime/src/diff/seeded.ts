import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";

/** The kernel's flag, which Node has no name for: a place in the tree, without what opening a device or a FIFO would do. */
const O_PATH = 0o10000000;
const PLACE = O_PATH | constants.O_NOFOLLOW;
const FILE_BYTES_MAX = 16 * 1024;
/** They are made and written in one go; whoever writes into one later leaves a gap. */
const WRITTEN_WITHIN_MS = 50;
const HOSTS = /^127\.0\.0\.1\tlocalhost\n127\.0\.1\.1\t(\S+)\n$/;
const RESOLVERS = /^(nameserver \S+\n)*$/;

/**
 * Which of the files that a first start puts into an upper (`etc/hostname`, `etc/hosts`, `etc/resolv.conf`) are still as they were put there. The
 * upper may be in use by somebody hostile: no symlink is followed.
 */
export async function seededFiles(upper: string): Promise<string[]> {
  const etc = await openPlace(`${upper}/etc`, constants.O_DIRECTORY);
  if (etc === null) return [];
  try {
    const [hostname, hosts, resolvers] = await Promise.all(["hostname", "hosts", "resolv.conf"].map((name) => readUntouched(etc, name)));
    const [, called] = HOSTS.exec(hosts ?? "") ?? [];
    const seeded: string[] = [];
    if (hostname != null && /^\S+\n$/.test(hostname) && (called === undefined || hostname === `${called}\n`)) seeded.push("etc/hostname");
    if (called !== undefined) seeded.push("etc/hosts");
    if (resolvers != null && RESOLVERS.test(resolvers)) seeded.push("etc/resolv.conf");
    return seeded;
  } finally {
    await etc.close();
  }
}

/** The content of a small file that nobody has written to since it was made. */
async function readUntouched(directory: FileHandle, name: string): Promise<string | null> {
  const place = await openPlace(`/proc/self/fd/${directory.fd}/${name}`);
  if (place === null) return null;
  try {
    const stat = await place.stat();
    const isUntouched = Math.abs(stat.mtimeMs - stat.birthtimeMs) < WRITTEN_WITHIN_MS;
    if (!stat.isFile() || stat.size > FILE_BYTES_MAX || !isUntouched) return null;
    const file = await open(`/proc/self/fd/${place.fd}`, constants.O_RDONLY);
    try {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(FILE_BYTES_MAX), 0, FILE_BYTES_MAX, 0);
      return buffer.toString("utf8", 0, bytesRead);
    } finally {
      await file.close();
    }
  } finally {
    await place.close();
  }
}

/** Null where there is nothing of the kind. */
async function openPlace(path: string, flags = 0): Promise<FileHandle | null> {
  try {
    return await open(path, PLACE | flags);
  } catch {
    return null;
  }
}
