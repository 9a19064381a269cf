import type { Diff, DiffEntry } from "@banyan/sdk";
import { colours } from "./colours.ts";
import { megabytes } from "./print.ts";

const MARKS = { added: colours.green("A"), changed: colours.yellow("M"), deleted: colours.red("D") } as const;

/** `M /etc/passwd  1204 B -> 1230 B  content`. What is in a sandbox is not trusted: no control character of a name reaches the terminal. */
export function diffLine({ kind, path, what, now, before }: DiffEntry): string {
  const type = now?.type ?? before?.type;
  const name = `${shown(path)}${type === "directory" ? "/" : ""}`;
  const link = now?.type === "symlink" ? ` -> ${shown(now.linkTarget ?? "")}` : "";
  const isFile = now?.type === "file" || before?.type === "file";
  const sizes = isFile ? [before?.type === "file" ? before.size : null, now?.type === "file" ? now.size : null] : [];
  const size = sizes
    .filter((bytes) => bytes !== null)
    .filter((bytes, at, all) => bytes !== all[at - 1])
    .map((bytes) => `${bytes} B`)
    .join(" -> ");
  const rest = [size, what.join(", ")].filter((text) => text !== "").map((text) => colours.dim(text));
  return [`${MARKS[kind]} ${name}${link}`, ...rest].join("  ");
}

const shown = (text: string): string =>
  text.replaceAll(/[\p{Cc}\\]/gu, (character) =>
    character === "\\" ? "\\\\" : `\\x${character.charCodeAt(0).toString(16).padStart(2, "0")}`,
  );

export function summaryLine({ added, changed, deleted, bytes, complete }: NonNullable<Diff["summary"]>, running: boolean): string {
  const counts = `${added} added, ${changed} changed, ${deleted} deleted, ${megabytes(bytes)} MiB`;
  const marks = [complete ? "" : "at least", running ? "read while it ran" : ""].filter((mark) => mark !== "");
  return colours.dim(marks.length === 0 ? counts : `${counts} (${marks.join("; ")})`);
}
