import type { Change, ChangeStat } from "./read-changes.ts";
import { type Hunk, hunksOf } from "./text-diff.ts";

/** A change with its content, as far as that was read. */
export interface ChangedFile {
  change: Change;
  now: Buffer | null;
  before: Buffer | null;
}

export type LeftOut = "binary" | "too_large" | "gone";
/** The text of a patch, its bytes as latin1; or why there is none. Null: nothing that a patch could say. */
export type PatchText = { text: string } | { leftOut: LeftOut } | null;

interface Side {
  /** As git writes it: 100644, 100755, 120000. */
  mode: string;
  content: string;
}

/**
 * One file's part of a patch that `git apply` takes. Of directories, FIFOs and the like, of owners and times a patch says nothing. A file that has
 * become a symlink, or the other way round, is deleted and made anew. `fileBytesMax`: what is larger was not read.
 */
export async function patchOf(file: ChangedFile, fileBytesMax: number): Promise<PatchText> {
  const { change } = file;
  const [before, now] = [
    sideOf(change.before, file.before, change.targetBefore, fileBytesMax),
    sideOf(change.now, file.now, change.target, fileBytesMax),
  ];
  if (isLeftOut(before) || isLeftOut(now)) {
    // Where only the rights differ no content was read, and none is needed.
    const isModeOnly = change.kind === "changed" && !change.what.some((aspect) => aspect === "content" || aspect === "type");
    return isModeOnly ? modeChange(change) : { leftOut: isLeftOut(now) ? now.leftOut : (before as { leftOut: LeftOut }).leftOut };
  }
  if (before === null && now === null) return null;
  const path = change.path.toString("latin1");
  const isReplaced = before !== null && now !== null && before.mode.slice(0, 3) !== now.mode.slice(0, 3);
  if (isReplaced) return { text: (await fileDiff(path, before, null)) + (await fileDiff(path, null, now)) };
  const text = await fileDiff(path, before, now);
  return text === "" ? null : { text };
}

const isLeftOut = (side: Side | { leftOut: LeftOut } | null): side is { leftOut: LeftOut } => side !== null && "leftOut" in side;

function sideOf(
  stat: ChangeStat | null,
  content: Buffer | null,
  target: Buffer | null,
  fileBytesMax: number,
): Side | { leftOut: LeftOut } | null {
  if (stat?.type === "symlink") return target === null ? { leftOut: "gone" } : { mode: "120000", content: target.toString("latin1") };
  if (stat?.type !== "file") return null;
  if (content === null) return { leftOut: stat.size > fileBytesMax ? "too_large" : "gone" };
  if (content.includes(0)) return { leftOut: "binary" };
  return { mode: gitMode(stat), content: content.toString("latin1") };
}

const gitMode = (stat: ChangeStat): string => ((stat.mode & 0o111) === 0 ? "100644" : "100755");

function modeChange({ before, now, path }: Change): PatchText {
  if (before === null || now === null || gitMode(before) === gitMode(now)) return null;
  const name = path.toString("latin1");
  return { text: `${headerOf(name)}old mode ${gitMode(before)}\nnew mode ${gitMode(now)}\n` };
}

const headerOf = (path: string): string => `diff --git ${quoted(`a/${path}`)} ${quoted(`b/${path}`)}\n`;

/** Empty where nothing differs that git knows of. */
async function fileDiff(path: string, before: Side | null, now: Side | null): Promise<string> {
  const hunks = await hunksOf(before?.content ?? "", now?.content ?? "");
  let head = "";
  if (before === null && now !== null) head = `new file mode ${now.mode}\n`;
  else if (now === null && before !== null) head = `deleted file mode ${before.mode}\n`;
  else if (before !== null && now !== null && before.mode !== now.mode) head = `old mode ${before.mode}\nnew mode ${now.mode}\n`;
  if (hunks.length === 0) return head === "" ? "" : headerOf(path) + head;
  return headerOf(path) + head + hunksText(hunks, before === null ? null : path, now === null ? null : path);
}

/** From `---` on: a unified diff as every tool reads it. Null: there is no such file. */
function hunksText(hunks: readonly Hunk[], before: string | null, now: string | null): string {
  const name = (prefix: string, path: string | null) => (path === null ? "/dev/null" : tabbed(quoted(prefix + path)));
  const parts = hunks.map(
    ({ oldStart, oldLines, newStart, newLines, lines }) =>
      `@@ -${range(oldStart, oldLines)} +${range(newStart, newLines)} @@\n${lines.join("\n")}\n`,
  );
  return `--- ${name("a/", before)}\n+++ ${name("b/", now)}\n${parts.join("")}`;
}

const range = (start: number, lines: number): string => (lines === 1 ? String(start) : `${start},${lines}`);

/** A name with a space in it ends with a tab: else a reader takes it to end at the space. */
const tabbed = (name: string): string => (name.includes(" ") ? `${name}\t` : name);

const ESCAPES: Record<string, string> = {
  ...{ "\x07": "\\a", "\b": "\\b", "\t": "\\t", "\n": "\\n", "\v": "\\v", "\f": "\\f", "\r": "\\r", '"': '\\"', "\\": "\\\\" },
};

/** As git writes a name, each character one byte: what is not plain ASCII stands in quotes, octal where it has no letter. */
function quoted(name: string): string {
  const escaped = name.replaceAll(/[^\x20-\x7e]|["\\]/g, (byte) => ESCAPES[byte] ?? `\\${byte.charCodeAt(0).toString(8).padStart(3, "0")}`);
  return escaped === name ? name : `"${escaped}"`;
}
