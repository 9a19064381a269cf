import { basename } from "node:path/posix";
import type { api } from "@banyan/contracts";
import type { FileEntry, FileType } from "@banyan/runtime";

const TYPES: Record<FileType, api.FileInfo["type"]> = {
  file: "file",
  directory: "directory",
  symlink: "symlink",
  fifo: "fifo",
  socket: "socket",
  character: "char_device",
  block: "block_device",
  hardlink: "file",
};
/** The years a JavaScript date can show; a file's time can be set to any. */
const TIME_MS_MAX = 8.64e15;

/** `path` replaces what init calls the entry, where that is relative. */
export function fileInfoOf(entry: FileEntry, path = entry.path): api.FileInfo {
  return {
    path,
    name: basename(path) || "/",
    type: TYPES[entry.type],
    mode: octal(entry.mode),
    size: entry.size,
    modified_at: new Date(Math.min(Math.max(entry.mtimeMs, -TIME_MS_MAX), TIME_MS_MAX)).toISOString(),
    uid: entry.uid,
    gid: entry.gid,
    link_target: entry.type === "symlink" ? (entry.link ?? null) : null,
  };
}

function octal(mode: number): string {
  return mode.toString(8).padStart(4, "0");
}

export function modeOf(text: string): number {
  return Number.parseInt(text, 8);
}
