import type { api } from "@banyan/contracts";
import { type Camel, camelize } from "./case.ts";
import { type Client, pause } from "./client.ts";
import { fromFailure, fromProblem, isBanyanError } from "./error.ts";
import { readServerEvents } from "./server-events.ts";

export interface FollowOptions {
  /** Only those with a higher number. */
  after?: number;
  /** Go on until there will be no more. Default: true. */
  follow?: boolean;
  signal?: AbortSignal;
}

interface EventPage<E> {
  events: E[];
  ended: boolean;
  next_after: number;
}

/** What keeps numbered events of its own: a build, a fork. */
export interface EventSource {
  /** Of its events. */
  path: string;
  /** Asked where a stream has ended, which something in between may have cut. */
  hasEnded(): Promise<boolean>;
}

/** Connections lost in a row, without an event between. */
const LOST_MAX = 5;

/** What happened and what happens, in order and each once, across lost connections. */
export async function* followEvents<E extends { seq: number }>(
  client: Client,
  { path, hasEnded }: EventSource,
  { after = 0, follow = true, signal }: FollowOptions = {},
): AsyncGenerator<Camel<E>, void, undefined> {
  if (!follow) return yield* past<E>(client, path, after);
  let last = after;
  for (let lost = 0; ; ) {
    try {
      for await (const event of live<E>(client, path, last, signal)) {
        last = event.seq;
        lost = 0;
        yield camelize(event);
      }
      if (await hasEnded()) return;
    } catch (error) {
      if (signal?.aborted || isBanyanError(error)) throw error;
      const failure = fromFailure(error, `${client.url}${path}`);
      if (++lost > LOST_MAX) throw failure;
      await pause(failure, lost, signal);
    }
  }
}

async function* live<E>(client: Client, path: string, after: number, signal: AbortSignal | undefined): AsyncGenerator<E, void, undefined> {
  const response = await client.request("GET", path, {
    query: { after },
    headers: { accept: "text/event-stream" },
    timeoutMs: null,
    signal,
  });
  for await (const { event, data } of readServerEvents(response)) {
    if (event === "problem") throw fromProblem(JSON.parse(data) as api.Problem);
    yield JSON.parse(data) as E;
  }
}

async function* past<E>(client: Client, path: string, after: number): AsyncGenerator<Camel<E>, void, undefined> {
  for (let from = after; ; ) {
    const response = await client.request("GET", path, { query: { after: from }, headers: { accept: "application/json" } });
    const { events, ended, next_after: next } = (await response.json()) as EventPage<E>;
    for (const event of events) yield camelize(event);
    if (ended || events.length === 0) return;
    from = next;
  }
}
