import type { api } from "@banyan/contracts";
import type { Camel } from "./case.ts";
import type { Client } from "./client.ts";

export type Diff = Camel<api.Diff>;
export type DiffEntry = Camel<api.DiffEntry>;

export interface DiffRange {
  /** Another sandbox of the same tree, on the same node. Default: what this one was made from. */
  against?: string;
  /** Only this path and what is below it. */
  path?: string;
  signal?: AbortSignal;
}
export interface DiffOptions extends DiffRange {
  /** With unified diffs of text files. */
  content?: boolean;
  /** Of a page; at most 1,000. */
  limit?: number;
  /** The page before says it. */
  cursor?: string;
}

/** The first may count for some seconds before it answers. */
const PAGE_TIMEOUT_MS = 120_000;

/** One page; the first says in `summary` how much there is in all. */
export function readDiff(client: Client, sandboxPath: string, { signal, ...query }: DiffOptions): Promise<Diff> {
  return client.json<api.Diff>("GET", `${sandboxPath}/diff`, { query, signal, timeoutMs: PAGE_TIMEOUT_MS });
}

/** Every change, page after page as they are wanted. */
export async function* eachChange(
  client: Client,
  sandboxPath: string,
  options: Omit<DiffOptions, "cursor">,
): AsyncGenerator<DiffEntry, void, undefined> {
  let cursor: string | null = null;
  do {
    const page: Diff = await readDiff(client, sandboxPath, { ...options, ...(cursor !== null && { cursor }) });
    yield* page.entries;
    cursor = page.nextCursor;
  } while (cursor !== null);
}

export async function streamDiff(
  client: Client,
  sandboxPath: string,
  format: "patch" | "tar",
  { signal, ...range }: DiffRange,
): Promise<ReadableStream<Uint8Array>> {
  const response = await client.request("GET", `${sandboxPath}/diff`, { query: { ...range, format }, signal, timeoutMs: null });
  return response.body ?? new Blob([]).stream();
}
