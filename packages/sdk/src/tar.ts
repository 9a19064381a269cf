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
const TYPES = { file: "0", symlink: "2", directory: "5", extended: "x" } as const;

/** The blocks before an entry's content. What does not fit into the old header goes into an extended one before it. */
export function tarHeader(entry: TarEntry): Uint8Array {
  const path = entry.type === "directory" ? `${entry.path}/` : entry.path;
  const records = [
    ...(fits(path) ? [] : [record("path", path)]),
    ...(fits(entry.linkTarget) ? [] : [record("linkpath", entry.linkTarget)]),
  ].join("");
  const own = header({ ...entry, path, mode: entry.type === "file" && !entry.executable ? 0o644 : 0o755, flag: TYPES[entry.type] });
  if (records === "") return own;
  const content = Buffer.from(records);
  const before = header({ path: "PaxHeader", mode: 0o644, sizeBytes: content.length, linkTarget: "", flag: TYPES.extended });
  return Buffer.concat([before, content, tarPadding(content.length), own]);
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
  path: string;
  mode: number;
  sizeBytes: number;
  linkTarget: string;
  flag: string;
}

function header({ path, mode, sizeBytes, linkTarget, flag }: Header): Uint8Array {
  const block = Buffer.alloc(BLOCK_BYTES);
  const octal = (value: number, at: number, bytes: number) => block.write(`${value.toString(8).padStart(bytes - 1, "0")}\0`, at, "latin1");
  block.write(Buffer.from(path).subarray(0, NAME_BYTES).toString("latin1"), 0, "latin1");
  octal(mode, 100, 8);
  octal(0, 108, 8);
  octal(0, 116, 8);
  octal(sizeBytes, 124, 12);
  octal(MTIME_S, 136, 12);
  block.write(" ".repeat(8), 148, "latin1");
  block.write(flag, 156, "latin1");
  block.write(Buffer.from(linkTarget).subarray(0, NAME_BYTES).toString("latin1"), 157, "latin1");
  block.write("ustar\x0000", 257, "latin1");
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  return block;
}
