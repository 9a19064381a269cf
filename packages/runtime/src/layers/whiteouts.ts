import { type BigIntStats, lstatSync } from "node:fs";
import { rm } from "node:fs/promises";
import { basename, dirname, join, relative } from "node:path";
import { Readable } from "node:stream";
import { pack } from "tar-stream";
import { runCommand } from "../host/command.ts";
import { untar } from "./untar.ts";

export const WHITEOUT_PREFIX = ".wh.";
/** Of their paths together: a million and more. A layer with more than that is refused, never taken with some of them left out. */
const WHITEOUTS_CHARS_MAX = 256 * 1024 * 1024;
const NS_PER_S = 1_000_000_000n;
export const OPAQUE_MARK = ".wh..wh..opq";

export interface Whiteouts {
  /** Directories that hide everything below them, as paths relative to the layer. */
  opaque: string[];
  /** Entries that hide one name. */
  hidden: string[];
}

/**
 * Turns the marks of OCI layers (`.wh.name`, `.wh..wh..opq`) into those of overlayfs: a device 0:0, and the attribute
 * `trusted.overlay.opaque`. Node can make neither, GNU tar can: they are unpacked from a small tar made here.
 */
export async function translateWhiteouts(layer: string): Promise<void> {
  const bounds = { timeoutMs: 120_000, outputMax: WHITEOUTS_CHARS_MAX };
  const found = (await runCommand("find", [layer, "-name", `${WHITEOUT_PREFIX}*`, "-print0"], bounds))
    .split("\0")
    .filter((path) => path !== "");
  if (found.length === 0) return;
  const marks = classify(found.map((path) => relative(layer, path)));
  // Before anything changes in them: directories keep the time that their layer gives them.
  const parents = new Set([...marks.hidden.map((path) => dirname(path)), ...marks.opaque]);
  const stats = new Map([...parents].map((path) => [path, lstatSync(join(layer, path), { bigint: true })]));
  for (const path of found) await rm(path, { recursive: true, force: true });
  await unpackMarks(layer, settle(layer, marks), stats);
}

/** What a layer both hides and brings anew: a file simply is there, a directory hides the one below. */
function settle(layer: string, { opaque, hidden }: Whiteouts): Whiteouts {
  const brought = new Map(hidden.map((path) => [path, lstatSync(join(layer, path), { throwIfNoEntry: false })]));
  return {
    opaque: [...new Set([...opaque, ...hidden.filter((path) => brought.get(path)?.isDirectory())])],
    hidden: hidden.filter((path) => brought.get(path) === undefined),
  };
}

export function classify(paths: readonly string[]): Whiteouts {
  const opaque = paths.filter((path) => basename(path) === OPAQUE_MARK).map((path) => dirname(path));
  const hidden = paths.flatMap((path) => {
    const name = basename(path).slice(WHITEOUT_PREFIX.length);
    // `.wh.` alone and marks of another storage driver (`.wh..wh.plnk`) name nothing.
    return ["", ".", ".."].includes(name) || name.startsWith(WHITEOUT_PREFIX) ? [] : [join(dirname(path), name)];
  });
  return { opaque, hidden };
}

async function unpackMarks(layer: string, { opaque, hidden }: Whiteouts, stats: Map<string, BigIntStats>): Promise<void> {
  const marks = pack();
  for (const path of hidden) marks.entry({ name: path, type: "character-device", devmajor: 0, devminor: 0, mode: 0, uid: 0, gid: 0 });
  for (const path of new Set([...stats.keys(), ...opaque])) {
    const { mode, uid, gid, mtimeNs } = stats.get(path) ?? lstatSync(join(layer, path), { bigint: true });
    const mtime = `${mtimeNs / NS_PER_S}.${String(mtimeNs % NS_PER_S).padStart(9, "0")}`;
    marks.entry({
      name: path,
      type: "directory",
      mode: Number(mode) & 0o7777,
      uid: Number(uid),
      gid: Number(gid),
      pax: { mtime, ...(opaque.includes(path) ? { "SCHILY.xattr.trusted.overlay.opaque": "y" } : {}) },
    });
  }
  marks.finalize();
  await untar([Readable.from(marks)], layer);
}
