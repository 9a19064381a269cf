import { BanyanError } from "@banyan/sdk";
import { colours } from "./colours.ts";
import { printable } from "./progress.ts";

export type Cell = string | number | null | undefined;

/** Columns as wide as their widest cell; nothing where there is nothing. */
export function table(columns: readonly string[], rows: readonly (readonly Cell[])[]): string {
  const cells = rows.map((row) => row.map((cell) => String(cell ?? "-")));
  const widths = columns.map((column, i) => Math.max(column.length, ...cells.map((row) => row[i]?.length ?? 0)));
  const line = (row: readonly string[]) =>
    row
      .map((cell, i) => cell.padEnd(widths[i] ?? 0))
      .join("  ")
      .trimEnd();
  return [colours.dim(line(columns)), ...cells.map(line)].join("\n");
}

/** One property a line, for one thing. */
export function properties(pairs: readonly (readonly [string, Cell])[]): string {
  const width = Math.max(...pairs.map(([name]) => name.length));
  return pairs.map(([name, value]) => `${colours.dim(name.padEnd(width))}  ${value ?? "-"}`).join("\n");
}

/** `3 min`, `2 h`: how long ago, for a person. */
export function ago(iso: string | null, now: number): string {
  if (iso === null) return "-";
  const seconds = Math.max(0, Math.round((now - Date.parse(iso)) / 1_000));
  if (seconds < 90) return `${seconds} s`;
  if (seconds < 90 * 60) return `${Math.round(seconds / 60)} min`;
  if (seconds < 36 * 3_600) return `${Math.round(seconds / 3_600)} h`;
  return `${Math.round(seconds / 86_400)} d`;
}

const MIB = 1024 * 1024;
export const megabytes = (bytes: number): string => (bytes / MIB).toFixed(bytes < 10 * MIB ? 1 : 0);

export function labelsText(labels: Record<string, string>): string {
  const text = Object.entries(labels)
    .map(([key, value]) => `${key}=${value}`)
    .join(" ");
  return text === "" ? "-" : text;
}

/** What went wrong, and what to do about it. */
export function errorText(error: unknown): string {
  if (!(error instanceof BanyanError)) return `${colours.red("error:")} ${error instanceof Error ? error.message : String(error)}`;
  const lines = [`${colours.red("error:")} ${error.message} ${colours.dim(`(${error.code})`)}`];
  for (const detail of detailsOf(error)) lines.push(`  ${detail}`);
  for (const line of lastLinesOf(error)) lines.push(colours.dim(`  | ${line}`));
  lines.push(`  ${colours.cyan("fix:")} ${fixText(error)}`);
  if (error.requestId !== null) lines.push(colours.dim(`  request ${error.requestId}`));
  return lines.join("\n");
}

/** A person sees no field `retry_after_ms`. */
function fixText({ fix, retryAfterMs }: BanyanError): string {
  return retryAfterMs === null ? fix : fix.replaceAll("retry_after_ms", `${Math.ceil(retryAfterMs / 1_000)} s`);
}

const USERS_SHOWN_MAX = 10;

/** What the message does not say already: other issues, who uses it, values and names. */
function detailsOf({ message, details }: BanyanError): string[] {
  const isNew = (text: unknown): boolean => !message.includes(String(text));
  const issues = listOf<{ path: string | string[]; message: string }>(details.issues)
    .map(({ path, message: said }) => ({ path: [path].flat().join("."), message: said }))
    .filter((issue) => isNew(issue.message) || isNew(issue.path));
  const users = listOf<object>(details.used_by);
  const values = Object.entries(details.issues === undefined ? details : {}).filter(
    ([, value]) => (typeof value === "string" || typeof value === "number") && value !== 0 && isNew(value),
  );
  return [
    ...issues.map((issue) => `${issue.path}: ${issue.message}`),
    ...values.map(([name, value]) => `${name}: ${value}`),
    ...users.slice(0, USERS_SHOWN_MAX).map((user) => Object.values(user).join("  ")),
    ...(users.length > USERS_SHOWN_MAX ? [`… ${users.length - USERS_SHOWN_MAX} more`] : []),
  ].map(printable);
}

const listOf = <T>(value: unknown): T[] => (Array.isArray(value) ? value : []);

/** Of a build that failed: what its step had written last. */
function lastLinesOf({ details }: BanyanError): string[] {
  return Array.isArray(details.last_lines) ? details.last_lines.map(String) : [];
}

/** The same for a program. */
export function errorJson(error: unknown): string {
  if (!(error instanceof BanyanError))
    return JSON.stringify({ error: { message: error instanceof Error ? error.message : String(error) } });
  const { code, message, status, retryable, retryAfterMs, fix, requestId, details } = error;
  return JSON.stringify({ error: { code, message, status, retryable, retryAfterMs, fix, requestId, details } });
}
