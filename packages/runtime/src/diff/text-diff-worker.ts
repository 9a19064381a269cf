import { parentPort } from "node:worker_threads";
import { structuredPatch } from "diff";
import type { Hunk, TextDiffAnswer, TextDiffRequest } from "./text-diff.ts";

const CONTEXT_LINES = 3;
/** Two texts that have nothing in common take time with the square of their length. */
const TIMEOUT_MS = 1_000;

parentPort?.on("message", ({ id, before, now }: TextDiffRequest) => {
  const patch = structuredPatch("", "", before, now, "", "", { context: CONTEXT_LINES, timeout: TIMEOUT_MS });
  const hunks: Hunk[] | null = patch === undefined ? null : patch.hunks;
  parentPort?.postMessage({ id, hunks } satisfies TextDiffAnswer);
});
