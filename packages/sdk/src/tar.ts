/** One entry of a tar, complete but for its content. */
export interface TarEntry {
  /** With `/`; relative. */
  path: string;
  type: "file" | "directory" | "symlink";
  executable: boolean;
  sizeBytes: number;
  linkTarget: string;
}

const BLOCK_BYTES = 512;
const NAME_BYTES = 100;
/** The same wherever and whenever it is packed: 1980, the first year that zip files can tell. */
const MTIME_S = 315_532_800;
const NOBODYS = { mtimeS: MTIME_S, uid: 0, gid: 0 } as const;
const TYPES = { file: "0", symlink: "2", directory: "5", extended: "x" } as const;

/** The blocks before an entry's content. What does not fit into the old header goes into an extended one before it. */
export function tarHeader(entry: TarEntry): Uint8Array {
  const path = entry.type === "directory" ? `${entry.path}/` : entry.path;
  const records = [
    ...(fits(path) ? [] : [record("path", path)]),
    ...(fits(entry.linkTarget) ? [] : [record("linkpath", entry.linkTarget)]),
  ].join("");
  const mode = entry.type === "file" && !entry.executable ? 0o644 : 0o755;
  const { sizeBytes, linkTarget } = entry;
  return withRecords(
    records,
    block({ path: Buffer.from(path), mode, sizeBytes, link: Buffer.from(linkTarget), flag: TYPES[entry.type], ...NOBODYS }),
  );
}

/** An entry as it is on a disk. Names are bytes: they need not be text. */
export interface TreeEntry {
  path: Uint8Array;
  type: TarEntry["type"];
  mode: number;
  mtimeMs: number;
  uid: number;
  gid: number;
  sizeBytes: number;
  link: Uint8Array;
}

const ID_MAX = 0o7777777;

/** The same of an entry that keeps its mode, its owner and its time, to the millisecond. */
export function treeHeader({ mtimeMs, uid, gid, ...entry }: TreeEntry): Uint8Array {
  const path = entry.type === "directory" ? Buffer.concat([entry.path, Buffer.from("/")]) : Buffer.from(entry.path);
  const link = Buffer.from(entry.link);
  const mtimeS = Math.max(0, Math.floor(mtimeMs / 1_000));
  const records = [
    ...(path.length <= NAME_BYTES ? [] : [record("path", path.toString())]),
    ...(link.length <= NAME_BYTES ? [] : [record("linkpath", link.toString())]),
    ...(uid <= ID_MAX ? [] : [record("uid", String(uid))]),
    ...(gid <= ID_MAX ? [] : [record("gid", String(gid))]),
    record("mtime", (mtimeMs / 1_000).toFixed(3)),
  ].join("");
  const { mode, sizeBytes, type } = entry;
  return withRecords(
    records,
    block({ path, mode, sizeBytes, link, flag: TYPES[type], mtimeS, uid: Math.min(uid, ID_MAX), gid: Math.min(gid, ID_MAX) }),
  );
}

function withRecords(records: string, own: Uint8Array): Uint8Array {
  if (records === "") return own;
  const content = Buffer.from(records);
  const head = {
    path: Buffer.from("PaxHeader"),
    mode: 0o644,
    sizeBytes: content.length,
    link: Buffer.alloc(0),
    flag: TYPES.extended,
    ...NOBODYS,
  };
  return Buffer.concat([block(head), content, tarPadding(content.length), own]);
}

/** What fills a content's last block. */
export const tarPadding = (sizeBytes: number): Uint8Array => new Uint8Array((BLOCK_BYTES - (sizeBytes % BLOCK_BYTES)) % BLOCK_BYTES);
export const tarEnd = (): Uint8Array => new Uint8Array(2 * BLOCK_BYTES);

const fits = (text: string): boolean => Buffer.byteLength(text) <= NAME_BYTES && /^[\x20-\x7e]*$/.test(text);

/** `27 path=…\n`: the length counts itself. */
function record(key: string, value: string): string {
  const rest = ` ${key}=${value}\n`;
  const bytes = Buffer.byteLength(rest);
  let length = bytes + String(bytes).length;
  if (bytes + String(length).length !== length) length = bytes + String(length).length;
  return `${length}${rest}`;
}

interface Header {
  path: Uint8Array;
  mode: number;
  mtimeS: number;
  uid: number;
  gid: number;
  sizeBytes: number;
  link: Uint8Array;
  flag: string;
}

function block({ path, mode, mtimeS, uid, gid, sizeBytes, link, flag }: Header): Uint8Array {
  const made = Buffer.alloc(BLOCK_BYTES);
  const octal = (value: number, at: number, bytes: number) => made.write(`${value.toString(8).padStart(bytes - 1, "0")}\0`, at, "latin1");
  made.set(path.subarray(0, NAME_BYTES), 0);
  octal(mode, 100, 8);
  octal(uid, 108, 8);
  octal(gid, 116, 8);
  octal(sizeBytes, 124, 12);
  octal(mtimeS, 136, 12);
  made.write(" ".repeat(8), 148, "latin1");
  made.write(flag, 156, "latin1");
  made.set(link.subarray(0, NAME_BYTES), 157);
  made.write("ustar\x0000", 257, "latin1");
  const sum = made.reduce((total, byte) => total + byte, 0);
  made.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  return made;
}
