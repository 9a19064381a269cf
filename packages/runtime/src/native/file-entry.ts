import { isUtf8 } from "node:buffer";
import { Fields } from "./frame.ts";
import { protocolViolation } from "./native-error.ts";
import { Flag, Tag } from "./wire.ts";

const TYPES = { f: "file", d: "directory", l: "symlink", p: "fifo", s: "socket", c: "character", b: "block", h: "hardlink" } as const;
const LETTERS = new Map<FileType, string>(Object.entries(TYPES).map(([letter, type]) => [type, letter]));
const PATH_BYTES_MAX = 4_096;

export type FileType = (typeof TYPES)[keyof typeof TYPES];

export interface FileEntry {
  path: string;
  /** The path as it is, when it is no UTF-8: `path` then shows replacement characters and names no file. */
  rawPath?: Buffer;
  type: FileType;
  /** Permission bits. */
  mode: number;
  size: number;
  mtimeMs: number;
  uid: number;
  gid: number;
  /** The target of a symlink, or the path of the entry that a hard link repeats. */
  link?: string;
}

/** A match of GREP: `column` counts bytes from 0, `line` from 1. */
export interface GrepMatch {
  path: string;
  line: number;
  column: number;
  text: string;
}

export interface ReplaceCount {
  path: string;
  replacements: number;
}

export interface WatchEvent {
  path: string;
  kind: "created" | "modified" | "removed" | "moved";
}

export interface ProcessView {
  id: string;
  pid: number;
  running: boolean;
  code: number | null;
  signal: number | null;
  timedOut: boolean;
  takesStdin: boolean;
  startedAtMs: number;
  endedAtMs: number | null;
  stdoutBytes: number;
  stderrBytes: number;
}

function readPath(fields: Fields, tag: number): { text: string; raw?: Buffer } {
  const bytes = fields.bytes(tag);
  if (bytes.length > PATH_BYTES_MAX || bytes.includes(0)) throw protocolViolation("a path that no system has");
  const text = bytes.toString("utf8");
  return isUtf8(bytes) ? { text } : { text, raw: Buffer.from(bytes) };
}

export function readEntry(payload: Buffer): FileEntry {
  const fields = new Fields(payload);
  const path = readPath(fields, Tag.Path);
  const type = TYPES[fields.text(Tag.Type) as keyof typeof TYPES];
  if (type === undefined) throw protocolViolation("an entry of unknown type");
  return {
    path: path.text,
    ...(path.raw ? { rawPath: path.raw } : {}),
    type,
    mode: fields.number(Tag.Mode, 0) & 0o7777,
    size: fields.number(Tag.Size, 0),
    mtimeMs: fields.has(Tag.MtimeNs) ? Number(BigInt.asIntN(64, fields.bigint(Tag.MtimeNs)) / 1_000_000n) : 0,
    uid: fields.number(Tag.Uid, 0),
    gid: fields.number(Tag.Gid, 0),
    ...(fields.has(Tag.Link) ? { link: readPath(fields, Tag.Link).text } : {}),
  };
}

export function typeLetter(type: FileType): string {
  return LETTERS.get(type) ?? "f";
}

export function readGrepMatch(payload: Buffer): GrepMatch {
  const fields = new Fields(payload);
  return {
    path: readPath(fields, Tag.Path).text,
    line: fields.number(Tag.Line),
    column: fields.number(Tag.Offset),
    text: fields.text(Tag.Data),
  };
}

export function readReplaceCount(payload: Buffer): ReplaceCount {
  const fields = new Fields(payload);
  return { path: readPath(fields, Tag.Path).text, replacements: fields.number(Tag.Size) };
}

export function readWatchEvent(payload: Buffer): WatchEvent {
  const fields = new Fields(payload);
  const kind = fields.text(Tag.Kind);
  if (kind !== "created" && kind !== "modified" && kind !== "removed" && kind !== "moved")
    throw protocolViolation("an event of unknown kind");
  return { path: readPath(fields, Tag.Path).text, kind };
}

export function readProcess(payload: Buffer): ProcessView {
  const fields = new Fields(payload);
  const flags = fields.number(Tag.Flags, 0);
  const running = fields.number(Tag.State) === 1;
  const signal = fields.number(Tag.Signal, 0);
  return {
    id: fields.text(Tag.Id),
    pid: fields.number(Tag.Pid),
    running,
    code: running || signal !== 0 ? null : fields.number(Tag.Code),
    signal: signal === 0 ? null : signal,
    timedOut: (flags & Flag.TimedOut) !== 0,
    takesStdin: (flags & Flag.Stdin) !== 0,
    startedAtMs: Math.floor(fields.number(Tag.StartedUs) / 1_000),
    endedAtMs: running ? null : Math.floor(fields.number(Tag.EndedUs) / 1_000),
    stdoutBytes: fields.number(Tag.OutBytes),
    stderrBytes: fields.number(Tag.ErrBytes),
  };
}
