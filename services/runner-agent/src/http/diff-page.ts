import { isUtf8 } from "node:buffer";
import { type api, LIMITS } from "@banyan/contracts";
import { fileInfoOf } from "@banyan/files";
import { type Change, type ChangedFile, type ChangeStat, changedFiles, changesOf, patchOf } from "@banyan/runtime";
import type { DiffOf } from "./diff.ts";

/** Names looked at for one page, and for the summary: some seconds of a core at most. */
const PAGE_VISITS_MAX = 100_000;
const SUMMARY_VISITS_MAX = 250_000;
/** Of all diffs on a page; then it ends. */
const PAGE_DIFF_BYTES_MAX = 8 * 1024 * 1024;

export interface PageQuery {
  limit: number;
  content: boolean;
  after: Buffer | undefined;
}

/** One page of the changes; the first says how many there are in all. */
export async function diffPage(of: DiffOf, query: PageQuery): Promise<Pick<api.Diff, "entries" | "next_cursor" | "summary" | "skipped">> {
  const [page, summary] = await Promise.all([entriesOf(of, query), query.after === undefined ? summaryOf(of) : null]);
  return { ...page, summary };
}

async function summaryOf({ trees, within }: DiffOf): Promise<api.Diff["summary"]> {
  for await (const part of changesOf(trees, { ...within, entriesMax: 0, summary: true, visitsMax: SUMMARY_VISITS_MAX })) {
    if ("end" in part) return { ...part.end.totals, complete: part.end.isWhole };
  }
  return null;
}

async function entriesOf({ trees, within }: DiffOf, { limit, content, after }: PageQuery) {
  const withContent = { bytesMax: LIMITS.diffFileBytes, bytesBeforeMax: LIMITS.diffFileBytes, onlyChangedContent: true };
  const query = { ...within, entriesMax: limit, visitsMax: PAGE_VISITS_MAX, ...(after && { after }), ...(content && withContent) };
  const entries: api.DiffEntry[] = [];
  let diffBytes = 0;
  for await (const file of changedFiles(changesOf(trees, query))) {
    if ("end" in file)
      return { entries, next_cursor: file.end.after === null ? null : cursorOf(file.end.after), skipped: file.end.skipped };
    const entry = { ...entryOf(file.change), ...(content && (await diffOf(file))) };
    entries.push(entry);
    diffBytes += entry.diff?.length ?? 0;
    if (diffBytes >= PAGE_DIFF_BYTES_MAX) return { entries, next_cursor: cursorOf(file.change.path), skipped: 0 };
  }
  return { entries, next_cursor: null, skipped: 0 };
}

const cursorOf = (path: Buffer): string => path.toString("base64url");

function entryOf({ kind, what, path, now, before, target, targetBefore }: Change): api.DiffEntry {
  return {
    path: `/${path}`,
    path_base64: isUtf8(path) ? null : Buffer.concat([Buffer.from("/"), path]).toString("base64"),
    kind,
    what,
    now: stateOf(now, target),
    before: stateOf(before, targetBefore),
    diff: null,
    diff_left_out: null,
  };
}

function stateOf(stat: ChangeStat | null, target: Buffer | null): api.DiffEntry["now"] {
  if (stat === null) return null;
  const { type, mode, uid, gid, size, modified_at, link_target } = fileInfoOf({
    ...stat,
    path: "",
    ...(target !== null && { link: target.toString() }),
  });
  return { type, mode, uid, gid, size, modified_at, link_target };
}

async function diffOf(file: ChangedFile): Promise<Pick<api.DiffEntry, "diff" | "diff_left_out">> {
  const patch = await patchOf(file, LIMITS.diffFileBytes);
  if (patch === null) return { diff: null, diff_left_out: null };
  if ("leftOut" in patch) return { diff: null, diff_left_out: patch.leftOut };
  const bytes = Buffer.from(patch.text, "latin1");
  return isUtf8(bytes) ? { diff: bytes.toString(), diff_left_out: null } : { diff: null, diff_left_out: "not_utf8" };
}
