import { spawn } from "node:child_process";
import { type ChangeSummary, fault, isFault } from "@banyan/contracts";
import { type ChangePart, readChanges } from "../diff/read-changes.ts";
import { buildNative, NativeError } from "../native/index.ts";
import type { AttachOperations } from "../slots/attach-helper.ts";

/**
 * Two trees by directories in overlayfs form, each top first: what each has of its own, and what both stand on. One sandbox against what it was made
 * from is its upper as `now`, nothing as `before`, and its stack as `base`. An upper may be in use: it is read as it is at that moment.
 */
export interface Trees {
  now: readonly string[];
  before: readonly string[];
  base: readonly string[];
  /** Paths without a leading slash that are not looked at, at most 15. */
  leftOut: readonly string[];
}

export interface ChangesQuery {
  /** Only this path and what is below it, without a leading slash; empty: everything. */
  below?: Buffer;
  /** The last path of the page before. */
  after?: Buffer;
  entriesMax?: number;
  /** Names looked at, changed or not; then the page ends. */
  visitsMax?: number;
  /** Also counts what does not fit on the page, up to `visitsMax`. */
  summary?: boolean;
  /** Files up to so many bytes come with their content of this side. */
  bytesMax?: number;
  bytesBeforeMax?: number;
  /** Content only where it was added, changed or deleted. */
  onlyChangedContent?: boolean;
  /** Names what was in deleted directories too. */
  expandDeleted?: boolean;
  signal?: AbortSignal;
}

/** Of a sandbox's files, what is Banyan's: what it has changed in its `cow` mounts. */
export const OWN_DIRECTORY = ".banyan";
/** Made in a sandbox's tree by its first start where the image has none. */
const MADE_AT_START = ["proc", "dev", "sys", "tmp", "etc"];
const STDERR_CHARS_MAX = 2_000;
const COUNT_VISITS_MAX = 200_000;
const COUNT_TIMEOUT_MS = 10_000;

let built: Promise<string> | null = null;

function binary(): Promise<string> {
  built ??= buildNative()
    .then(({ changes }) => changes)
    .catch((error) => {
      built = null;
      throw error;
    });
  return built;
}

/**
 * How the trees differ, in the order of paths, component by component. Memory stays bounded however many there are; whoever reads slowly slows it down.
 * Throws diff.failed.
 */
export async function* changesOf(trees: Trees, query: ChangesQuery = {}): AsyncGenerator<ChangePart, void, undefined> {
  query.signal?.throwIfAborted();
  const child = spawn(await binary(), argumentsOf(trees, query), { stdio: ["ignore", "pipe", "pipe"], env: {} });
  let said = "";
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => {
    if (said.length < STDERR_CHARS_MAX) said += chunk;
  });
  const ended = new Promise<number | null>((resolve, reject) => child.on("error", reject).on("close", resolve));
  ended.catch(() => {});
  const abort = (): void => void child.kill("SIGKILL");
  query.signal?.addEventListener("abort", abort);
  try {
    yield* readChanges(child.stdout);
  } catch (cause) {
    query.signal?.throwIfAborted();
    const exitCode = await ended.catch(() => null);
    throw fault("diff.failed", { exitCode, reason: said.slice(0, STDERR_CHARS_MAX) }, { cause });
  } finally {
    query.signal?.removeEventListener("abort", abort);
    child.kill("SIGKILL");
    child.stdout.destroy();
  }
}

/**
 * Counts how the trees differ. Null where there is more to look at than 200,000 names or 10 s allow, or where it cannot be read. Runs in the native
 * helper: this process starts nothing.
 */
export async function countChanges(run: AttachOperations["run"], trees: Trees): Promise<ChangeSummary | null> {
  const query: ChangesQuery = { entriesMax: 0, summary: true, visitsMax: COUNT_VISITS_MAX };
  try {
    const argv = [await binary(), ...argumentsOf(trees, query)];
    const { exitCode, output } = await run(argv, { timeoutMs: COUNT_TIMEOUT_MS });
    if (exitCode !== 0) return null;
    for await (const part of readChanges(once(Buffer.from(output, "latin1"))))
      if ("end" in part && part.end.isWhole) return part.end.totals;
    return null;
  } catch (error) {
    if (error instanceof NativeError || isFault(error, "diff.failed")) return null;
    throw error;
  }
}

async function* once<T>(value: T): AsyncGenerator<T, void, undefined> {
  yield value;
}

function argumentsOf(trees: Trees, query: ChangesQuery): string[] {
  const each = (name: string, values: readonly (string | number | undefined)[]) =>
    values.flatMap((value) => (value === undefined ? [] : [name, String(value)]));
  const path = (bytes: Buffer | undefined) => (bytes === undefined || bytes.length === 0 ? [] : [bytes.toString("hex")]);
  return [
    ...each("--left-out", trees.leftOut),
    ...each("--made", MADE_AT_START),
    ...each("--entries", [query.entriesMax]),
    ...each("--visits", [query.visitsMax]),
    ...each("--new-bytes", [query.bytesMax]),
    ...each("--old-bytes", [query.bytesBeforeMax]),
    ...each("--below", path(query.below)),
    ...each("--after", path(query.after)),
    ...(query.summary ? ["--summary"] : []),
    ...(query.onlyChangedContent ? ["--patch"] : []),
    ...(query.expandDeleted ? ["--expand"] : []),
    ...each("--new", trees.now),
    ...each("--old", trees.before),
    ...each("--base", trees.base),
  ];
}
