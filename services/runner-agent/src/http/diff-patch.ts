import { LIMITS } from "@banyan/contracts";
import { changedFiles, changesOf, type LeftOut, patchOf } from "@banyan/runtime";
import type { DiffOf } from "./diff.ts";

const REASONS: Record<LeftOut, string> = {
  binary: "not a text file",
  too_large: `larger than ${LIMITS.diffFileBytes} bytes`,
  gone: "gone while it was read",
};

/**
 * A patch for `git apply` and `patch -p1`, of all text files and symlinks that differ. What it leaves out stands in it as a line that begins with
 * `# banyan:`, which both pass over; it ends with such a line where it would be larger than `bytesMax`.
 */
export async function* patchBytes({ trees, within }: DiffOf, bytesMax: number): AsyncGenerator<Buffer, void, undefined> {
  const content = { bytesMax: LIMITS.diffFileBytes, bytesBeforeMax: LIMITS.diffFileBytes, onlyChangedContent: true };
  let bytes = 0;
  for await (const file of changedFiles(changesOf(trees, { ...within, ...content, expandDeleted: true }))) {
    if ("end" in file) return;
    const patch = await patchOf(file, LIMITS.diffFileBytes);
    if (patch === null) continue;
    const part =
      "text" in patch ? Buffer.from(patch.text, "latin1") : remark(`${named(file.change.path)} left out: ${REASONS[patch.leftOut]}`);
    bytes += part.length;
    if (bytes > bytesMax) {
      yield remark(`cut before ${named(file.change.path)}: the patch is larger than ${bytesMax} bytes; ask for parts of it with \`path\``);
      return;
    }
    yield part;
  }
}

const remark = (text: string): Buffer => Buffer.from(`# banyan: ${text}\n`);

/** On one line, whatever bytes it holds. */
const named = (path: Buffer): string => JSON.stringify(`/${path}`);
