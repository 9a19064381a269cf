import { type api, type ChangeSummary, fault } from "@banyan/contracts";
import type { FileType } from "../native/index.ts";

/** What an entry is on one of the two sides. `mtimeMs` has fractions. */
export interface ChangeStat {
  type: FileType;
  /** Permission bits. */
  mode: number;
  uid: number;
  gid: number;
  size: number;
  mtimeMs: number;
}

type ChangeAspect = (typeof api.DIFF_ASPECTS)[number];

export interface Change {
  kind: "added" | "changed" | "deleted";
  /** In which way it was changed; empty for the other kinds. */
  what: ChangeAspect[];
  /** Relative to the root, without a leading slash. Bytes: a filesystem knows no encoding. */
  path: Buffer;
  /** Null: not there. */
  now: ChangeStat | null;
  before: ChangeStat | null;
  /** Of a symlink. */
  target: Buffer | null;
  targetBefore: Buffer | null;
  /** As many bytes of content follow; null: they were not asked for, are too many, or gone. */
  bytes: number | null;
  bytesBefore: number | null;
}

export interface ChangesEnd {
  /** What was told; of everything where `isWhole`. */
  totals: ChangeSummary;
  isWhole: boolean;
  /** Entries too deep to be looked at. */
  skipped: number;
  /** Where the next page goes on; null: there is none. */
  after: Buffer | null;
}

/** What `changes` says, in its order: a change, then its content now, then its content before; at last the end. */
export type ChangePart = { change: Change } | { data: Buffer; of: "now" | "before" } | { end: ChangesEnd };

const FIELDS = 9;
/** Two targets, a path, and some numbers. */
const RECORD_BYTES_MAX = 16 * 1024;
const KINDS: Record<string, Change["kind"]> = { A: "added", M: "changed", D: "deleted" };
const ASPECTS: Record<string, ChangeAspect> = {
  ...{ c: "content", y: "type", l: "target", d: "device", m: "mode", o: "owner", x: "xattr", t: "mtime" },
};
const TYPES: Record<string, FileType> = {
  ...{ f: "file", d: "directory", l: "symlink", p: "fifo", s: "socket", c: "character", b: "block" },
};

/** Reads the records of `changes`. A stream that ends before its end was said is diff.failed. */
export async function* readChanges(stream: AsyncIterable<Buffer>): AsyncGenerator<ChangePart, void, undefined> {
  const contents: { of: "now" | "before"; left: number }[] = [];
  let rest: Buffer = Buffer.alloc(0);
  for await (const chunk of stream) {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    for (;;) {
      const content = contents[0];
      if (content !== undefined) {
        const data = rest.subarray(0, content.left);
        content.left -= data.length;
        rest = rest.subarray(data.length);
        if (data.length > 0) yield { data, of: content.of };
        if (content.left > 0) break;
        contents.shift();
        continue;
      }
      const record = cut(rest);
      if (record === null) break;
      rest = rest.subarray(record.length);
      const part = partOf(record.fields);
      yield part;
      if ("end" in part) return;
      if (part.change.bytes !== null) contents.push({ of: "now", left: part.change.bytes });
      if (part.change.bytesBefore !== null) contents.push({ of: "before", left: part.change.bytesBefore });
    }
  }
  throw fault("diff.failed", {}, { message: "The reading of the changes broke off." });
}

/** The fields of the record at the start; null where it is not whole yet. */
function cut(bytes: Buffer): { fields: Buffer[]; length: number } | null {
  const fields: Buffer[] = [];
  let at = 0;
  while (fields.length < FIELDS) {
    const end = bytes.indexOf(0, at);
    if (end < 0) {
      if (bytes.length > RECORD_BYTES_MAX) throw fault("diff.failed", {}, { message: "A record of the changes is too long." });
      return null;
    }
    fields.push(bytes.subarray(at, end));
    at = end + 1;
  }
  return { fields, length: at };
}

function partOf(fields: Buffer[]): { change: Change } | { end: ChangesEnd } {
  const text = (index: number) => fields[index]?.toString("latin1") ?? "";
  // Copied: a chunk of the stream must not stay for a path in it.
  const bytes = (index: number) => Buffer.from(fields[index] ?? []);
  if (text(0) === "E") return { end: endOf(text(1), text(2), bytes(4)) };
  const kind = KINDS[text(0)];
  if (kind === undefined) throw fault("diff.failed", {}, { message: "A record of the changes is not well-formed." });
  const target = (index: number) => (fields[index]?.length ? bytes(index) : null);
  const length = (index: number) => (text(index) === "" ? null : Number(text(index)));
  return {
    change: {
      kind,
      what: [...text(1)].flatMap((letter) => ASPECTS[letter] ?? []),
      now: statOf(text(2)),
      before: statOf(text(3)),
      path: bytes(4),
      target: target(5),
      targetBefore: target(6),
      bytes: length(7),
      bytesBefore: length(8),
    },
  };
}

function statOf(text: string): ChangeStat | null {
  if (text === "") return null;
  const [type = "", mode = "", uid, gid, size, mtimeS] = text.split(" ");
  return {
    type: TYPES[type] ?? "block",
    mode: Number.parseInt(mode, 8),
    uid: Number(uid),
    gid: Number(gid),
    size: Number(size),
    mtimeMs: Number(mtimeS) * 1000,
  };
}

function endOf(status: string, numbers: string, path: Buffer): ChangesEnd {
  const [added = 0, changed = 0, deleted = 0, bytes = 0, skipped = 0, isWhole = 0] = numbers.split(" ").map(Number);
  return { totals: { added, changed, deleted, bytes }, isWhole: isWhole === 1, skipped, after: status === "more" ? path : null };
}
