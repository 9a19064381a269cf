import { stripVTControlCharacters } from "node:util";
import type { DiffEntry } from "@banyan/sdk";
import { expect, it } from "vitest";
import { diffLine, summaryLine } from "./diff-text.ts";

const state = { type: "file", mode: "0644", uid: 0, gid: 0, size: 5, modifiedAt: "2026-01-01T00:00:00.000Z", linkTarget: null } as const;
const entry: DiffEntry = {
  ...{ path: "/a", pathBase64: null, kind: "added", what: [], now: { ...state }, before: null, diff: null, diffLeftOut: null },
};
const plain = stripVTControlCharacters;

it("shows what happened to a path, with sizes", () => {
  expect(plain(diffLine(entry))).toBe("A /a  5 B");
  expect(plain(diffLine({ ...entry, kind: "changed", what: ["content", "mode"], before: { ...state, size: 3 } }))).toBe(
    "M /a  3 B -> 5 B  content, mode",
  );
  expect(plain(diffLine({ ...entry, kind: "changed", what: ["mode"], before: { ...state } }))).toBe("M /a  5 B  mode");
  expect(plain(diffLine({ ...entry, kind: "deleted", now: null, before: { ...state, type: "directory" } }))).toBe("D /a/");
  expect(plain(diffLine({ ...entry, now: { ...state, type: "symlink", linkTarget: "b" } }))).toBe("A /a -> b");
});

it("lets no name write to the terminal", () => {
  expect(plain(diffLine({ ...entry, path: "/a\u001b[2J\nD /etc\u009bK" }))).toBe("A /a\\x1b[2J\\x0aD /etc\\x9bK  5 B");
});

it("says when a count is not all, and when it was taken of something that moves", () => {
  const summary = { added: 1, changed: 2, deleted: 3, bytes: 1024 * 1024, complete: true };
  expect(plain(summaryLine(summary, false))).toBe("1 added, 2 changed, 3 deleted, 1.0 MiB");
  expect(plain(summaryLine({ ...summary, complete: false }, true))).toBe(
    "1 added, 2 changed, 3 deleted, 1.0 MiB (at least; read while it ran)",
  );
});
