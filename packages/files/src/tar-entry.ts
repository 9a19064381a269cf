import { isUtf8 } from "node:buffer";
import { fault, LIMITS } from "@banyan/contracts";
import type { FileEntry, FileType } from "@banyan/runtime";
import type { Header } from "tar-stream";

/** Names are looked up one part at a time inside, so one part is what the kernel bounds. */
const COMPONENT_BYTES_MAX = 255;
const ID_MAX = 4_294_967_294;
const MODE_BITS = 0o7777;

const TYPES: Partial<Record<string, FileType>> = {
  file: "file",
  "contiguous-file": "file",
  directory: "directory",
  symlink: "symlink",
  link: "hardlink",
  fifo: "fifo",
};

/** A tar is whatever somebody sent: this says what of it is an entry that may be unpacked, or throws. */
export function treeEntryOf(header: Header): FileEntry {
  const type = TYPES[header.type ?? ""];
  if (!type) return refuse(header, `a ${header.type ?? "sparse or unknown entry"} cannot be unpacked`);
  if (Object.keys(Object(header.pax)).some((key) => key.startsWith("GNU.sparse.")))
    return refuse(header, "a sparse file cannot be unpacked");
  if (!Number.isSafeInteger(header.size) || header.size < 0) return refuse(header, "its size is not a number of bytes");
  if (type !== "file" && type !== "directory" && header.size !== 0) return refuse(header, "only a file has content");
  return {
    ...pathOf(header),
    type,
    mode: header.mode & MODE_BITS,
    uid: idOf(header, "uid"),
    gid: idOf(header, "gid"),
    mtimeMs: mtimeOf(header),
    size: type === "file" ? header.size : 0,
    ...(type === "symlink" && { link: linkTarget(header) }),
    ...(type === "hardlink" && { link: relativePath(header, bytesOf(header, header.linkname ?? "", "linkpath")).toString("utf8") }),
  };
}

/** A pax record is UTF-8. The header's own names were read one byte to a character, so that they can be had as they are. */
function bytesOf(header: Header, name: string, record: "path" | "linkpath"): Buffer {
  return Buffer.from(name, record in Object(header.pax) ? "utf8" : "latin1");
}

function pathOf(header: Header): Pick<FileEntry, "path" | "rawPath"> {
  const bytes = relativePath(header, bytesOf(header, header.name, "path"));
  return { path: bytes.toString("utf8"), ...(isUtf8(bytes) ? {} : { rawPath: bytes }) };
}

/** To the millisecond where a pax record says so. */
function mtimeOf(header: Header): number {
  const record = Object(header.pax).mtime;
  const mtimeMs = typeof record === "string" && record !== "" ? Math.round(Number(record) * 1000) : header.mtime.getTime();
  return Number.isSafeInteger(mtimeMs) ? mtimeMs : 0;
}

/** Looked at one byte to a character, so that lengths are those of the kernel. */
function relativePath(header: Header, bytes: Buffer): Buffer {
  const name = bytes.toString("latin1");
  if (name.startsWith("/")) return refuse(header, "its path is absolute");
  if (name.length > LIMITS.pathBytes) return refuse(header, "its path is too long");
  if (name.includes("\0")) return refuse(header, "its path holds a NUL");
  const parts = name.split("/").filter((part) => part !== "" && part !== ".");
  if (parts.includes("..")) return refuse(header, "its path leads upwards");
  if (parts.some((part) => part.length > COMPONENT_BYTES_MAX)) return refuse(header, "a part of its path is too long");
  if (parts.length === 0 && header.type !== "directory") return refuse(header, "it has no name");
  return Buffer.from(parts.join("/") || ".", "latin1");
}

/** A symlink may say anything: it is followed inside only, and never while a tree is unpacked. */
function linkTarget(header: Header): string {
  const target = bytesOf(header, header.linkname ?? "", "linkpath").toString("utf8");
  if (target === "" || target.includes("\0") || Buffer.byteLength(target) > LIMITS.pathBytes)
    return refuse(header, "it is a link to no path");
  return target;
}

function idOf(header: Header, key: "uid" | "gid"): number {
  const id = Number(Object(header.pax)[key] ?? header[key]);
  return Number.isInteger(id) && id >= 0 && id <= ID_MAX ? id : refuse(header, "its owner is not a valid id");
}

const NAME_SHOWN_MAX = 200;
function refuse(header: Header, problem: string): never {
  throw fault(
    "request.invalid",
    { issues: [{ path: header.name.slice(0, NAME_SHOWN_MAX), message: problem }] },
    { message: `The tar holds an entry that is refused: ${problem}.` },
  );
}
