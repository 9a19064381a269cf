import { fault, LIMITS } from "@banyan/contracts";
import type { Header } from "tar-stream";

/** Names are looked up one part at a time inside, so one part is what the kernel bounds. */
const COMPONENT_BYTES_MAX = 255;
const ID_MAX = 4_294_967_294;
const MODE_BITS = 0o7777;

export type TreeEntryType = "f" | "d" | "l" | "h" | "p";
/** What init takes for one entry of a tree. */
export interface TreeEntry {
  /** Relative to the tree's root, without `..`; `.` is the root itself. */
  path: string;
  type: TreeEntryType;
  mode: number;
  uid: number;
  gid: number;
  mtimeNs: bigint;
  link: string | null;
  size: number;
}

const TYPES: Partial<Record<string, TreeEntryType>> = {
  file: "f",
  "contiguous-file": "f",
  directory: "d",
  symlink: "l",
  link: "h",
  fifo: "p",
};

/** A tar is whatever somebody sent: this says what of it is an entry that may be unpacked, or throws. */
export function treeEntryOf(header: Header): TreeEntry {
  const type = TYPES[header.type ?? ""];
  if (!type) return refuse(header, `a ${header.type ?? "sparse or unknown entry"} cannot be unpacked`);
  if (Object.keys(Object(header.pax)).some((key) => key.startsWith("GNU.sparse.")))
    return refuse(header, "a sparse file cannot be unpacked");
  if (!Number.isSafeInteger(header.size) || header.size < 0) return refuse(header, "its size is not a number of bytes");
  if (type !== "f" && type !== "d" && header.size !== 0) return refuse(header, "only a file has content");
  const mtimeMs = header.mtime.getTime();
  return {
    path: relativePath(header, header.name),
    type,
    mode: header.mode & MODE_BITS,
    uid: idOf(header, header.uid),
    gid: idOf(header, header.gid),
    mtimeNs: Number.isSafeInteger(mtimeMs) ? BigInt(mtimeMs) * 1_000_000n : 0n,
    link: type === "l" ? linkTarget(header) : type === "h" ? relativePath(header, header.linkname ?? "") : null,
    size: type === "f" ? header.size : 0,
  };
}

function relativePath(header: Header, name: string): string {
  if (name.startsWith("/")) return refuse(header, "its path is absolute");
  if (Buffer.byteLength(name) > LIMITS.pathBytes) return refuse(header, "its path is too long");
  if (name.includes("\0")) return refuse(header, "its path holds a NUL");
  const parts = name.split("/").filter((part) => part !== "" && part !== ".");
  if (parts.includes("..")) return refuse(header, "its path leads upwards");
  if (parts.some((part) => Buffer.byteLength(part) > COMPONENT_BYTES_MAX)) return refuse(header, "a part of its path is too long");
  if (parts.length === 0 && header.type !== "directory") return refuse(header, "it has no name");
  return parts.join("/") || ".";
}

/** A symlink may say anything: it is followed inside only, and never while a tree is unpacked. */
function linkTarget(header: Header): string {
  const target = header.linkname ?? "";
  if (target === "" || target.includes("\0") || Buffer.byteLength(target) > LIMITS.pathBytes)
    return refuse(header, "it is a link to no path");
  return target;
}

function idOf(header: Header, id: number): number {
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
