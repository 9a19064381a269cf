import type { ForkOutcome } from "@banyan/contracts";

/** The number on the last line that is not empty; null where that is not one, or was cut off. */
export function scoreOf({ stdout, stdoutBytes }: Pick<ForkOutcome, "stdout" | "stdoutBytes">): number | null {
  if (stdoutBytes > Buffer.byteLength(stdout)) return null;
  const line = stdout.trimEnd().split("\n").at(-1)?.trim() ?? "";
  if (!NUMBER.test(line)) return null;
  const value = Number(line);
  return Number.isFinite(value) ? value : null;
}

/** Untrusted text: nothing else that `Number` would take, as the empty string or hexadecimal. */
const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/;
