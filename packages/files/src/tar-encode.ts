import type { FileEntry, TreePart } from "@banyan/runtime";

const BLOCK_BYTES = 512;
const NAME_BYTES = 100;
const ID_MAX = 0o7777777;
const SIZE_MAX = 0o77777777777;
const FLAGS: Partial<Record<FileEntry["type"], string>> = { file: "0", hardlink: "1", symlink: "2", directory: "5", fifo: "6" };
const END = Buffer.alloc(2 * BLOCK_BYTES);

/**
 * A tree as a tar: POSIX headers, and a pax header before those that cannot hold a long name, a large number or a part of a second.
 * Written here because tar-stream's packer does not wait for a slow reader between entries, and cuts large ids.
 */
export async function* tarOf(parts: AsyncIterable<TreePart>): AsyncGenerator<Uint8Array, void, undefined> {
  let paddingBytes = 0;
  for await (const part of parts) {
    if ("data" in part) {
      yield part.data;
      continue;
    }
    const header = headerOf(part.entry);
    if (!header) continue;
    yield paddingBytes === 0 ? header : Buffer.concat([Buffer.alloc(paddingBytes), header]);
    paddingBytes = part.entry.type === "file" ? paddingOf(part.entry.size) : 0;
  }
  yield Buffer.concat([Buffer.alloc(paddingBytes), END]);
}

/** Null for what has no place in a tar: sockets and devices. */
export function headerOf(entry: FileEntry): Buffer | null {
  const flag = FLAGS[entry.type];
  if (flag === undefined) return null;
  const name = nameOf(entry);
  const link = Buffer.from(entry.link ?? "");
  const size = entry.type === "file" ? entry.size : 0;
  const seconds = Math.floor(entry.mtimeMs / 1000);
  const records: Buffer[] = [];
  if (name.length > NAME_BYTES) records.push(record("path", name));
  if (link.length > NAME_BYTES) records.push(record("linkpath", link));
  if (size > SIZE_MAX) records.push(record("size", size));
  if (entry.uid > ID_MAX) records.push(record("uid", entry.uid));
  if (entry.gid > ID_MAX) records.push(record("gid", entry.gid));
  if (entry.mtimeMs % 1000 !== 0 || seconds < 0 || seconds > SIZE_MAX) records.push(record("mtime", entry.mtimeMs / 1000));
  const numbers = { mode: entry.mode, uid: Math.min(entry.uid, ID_MAX), gid: Math.min(entry.gid, ID_MAX), size: Math.min(size, SIZE_MAX) };
  const block = blockOf({ ...numbers, name, link, flag, seconds: Math.min(Math.max(seconds, 0), SIZE_MAX) });
  if (records.length === 0) return block;
  const pax = Buffer.concat(records);
  const paxBlock = blockOf({
    name: Buffer.from("pax"),
    link: Buffer.alloc(0),
    flag: "x",
    mode: 0o644,
    uid: 0,
    gid: 0,
    size: pax.length,
    seconds: 0,
  });
  return Buffer.concat([paxBlock, pax, Buffer.alloc(paddingOf(pax.length)), block]);
}

function nameOf({ rawPath, path, type }: FileEntry): Buffer {
  const name = rawPath ?? Buffer.from(path);
  return type === "directory" ? Buffer.concat([name, Buffer.from("/")]) : name;
}

interface Block {
  name: Buffer;
  link: Buffer;
  flag: string;
  mode: number;
  uid: number;
  gid: number;
  size: number;
  seconds: number;
}

function blockOf({ name, link, flag, mode, uid, gid, size, seconds }: Block): Buffer {
  const block = Buffer.alloc(BLOCK_BYTES);
  name.copy(block, 0, 0, NAME_BYTES);
  block.write(octal(mode, 7), 100);
  block.write(octal(uid, 7), 108);
  block.write(octal(gid, 7), 116);
  block.write(octal(size, 11), 124);
  block.write(octal(seconds, 11), 136);
  block.write("        ", 148);
  block.write(flag, 156);
  link.copy(block, 157, 0, NAME_BYTES);
  block.write("ustar\0", 257);
  block.write("00", 263);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${octal(sum, 6)}\0 `, 148);
  return block;
}

function octal(value: number, digits: number): string {
  return value.toString(8).padStart(digits, "0");
}

/** `<length> <key>=<value>\n`, where the length counts itself. */
function record(key: string, value: Buffer | number): Buffer {
  const rest = Buffer.concat([Buffer.from(` ${key}=`), typeof value === "number" ? Buffer.from(String(value)) : value, Buffer.from("\n")]);
  let length = rest.length + 1;
  while (String(length).length + rest.length > length) length++;
  return Buffer.concat([Buffer.from(String(length)), rest]);
}

function paddingOf(bytes: number): number {
  return (BLOCK_BYTES - (bytes % BLOCK_BYTES)) % BLOCK_BYTES;
}
