import { isBanyanError } from "../error.ts";

/** With these nothing more can be copied, whatever file comes next. */
const FINAL = new Set(["volume.no_space", "volume.not_found", "volume.version_not_found", "volume.not_ready", "volume.unreachable"]);

/** What is wrong with one file is no reason to leave the rest. */
export function endsCopy(error: unknown): boolean {
  if (!isBanyanError(error)) return error instanceof Error && error.name === "AbortError";
  return error.status === null || error.status >= 500 || FINAL.has(error.code) || error.code.startsWith("auth.");
}

const REASONS: Record<string, string> = {
  EACCES: "it may not be read",
  EPERM: "it may not be read",
  ENOENT: "it is gone",
  ELOOP: "it has become a link",
  ENOTDIR: "its directory is gone",
};

export function reasonOf(error: unknown): string {
  if (isBanyanError(error)) return `${error.message} (${error.code})`;
  if (!(error instanceof Error)) return String(error);
  const code = (error as NodeJS.ErrnoException).code ?? "";
  return REASONS[code] ?? error.message;
}
