import type { api } from "@banyan/contracts";
import { type Camel, camelize } from "./case.ts";
import { type Client, pause } from "./client.ts";
import { type BanyanError, fromFailure, fromProblem, isBanyanError } from "./error.ts";
import { readServerEvents } from "./server-events.ts";

/** What happens in a build: a line of output, a step that goes on, or its state. */
export type BuildEvent = Camel<api.BuildEvent>;

export interface WorkOptions {
  onEvent?: ((event: BuildEvent) => void) | undefined;
  signal?: AbortSignal | undefined;
}

/** Connections lost in a row, without an event between. */
const LOST_MAX = 5;
/** The server waits ten minutes at a time, a build takes four hours at most. */
const ROUNDS_MAX = 30;

/**
 * A call that may take long, followed by its events to the last one, `last`, which is its answer. A lost connection is taken up again with the
 * same Idempotency-Key, and no event is told twice.
 */
export async function streamed<T>(
  client: Client,
  path: string,
  last: string,
  json: object,
  { onEvent, signal }: WorkOptions,
): Promise<Camel<T>> {
  const headers = { accept: "text/event-stream", "idempotency-key": crypto.randomUUID() };
  let heard = 0;
  let lost = 0;
  for (let round = 1; ; round++) {
    const response = await client.request("POST", path, { json, headers, repeatable: true, timeoutMs: null, signal });
    try {
      for await (const { event, data } of readServerEvents(response)) {
        const body: unknown = JSON.parse(data);
        if (event === last) return camelize(body as T);
        if (event === "problem") throw fromProblem(body as api.Problem);
        if (event === "pending") break;
        const told = camelize(body) as BuildEvent;
        if (told.seq <= heard) continue;
        heard = told.seq;
        lost = 0;
        onEvent?.(told);
      }
    } catch (error) {
      await again(error, client.url + path, ++lost, signal);
    }
    if (round >= ROUNDS_MAX) throw fromFailure(new Error("it took too long"), client.url + path);
  }
}

/** Waits a moment where another try may help; else throws. */
async function again(error: unknown, url: string, lost: number, signal: AbortSignal | undefined): Promise<void> {
  if (signal?.aborted) throw signal.reason;
  if (isBanyanError(error) && error.code !== "request.idempotency_in_progress") throw error;
  const failure: BanyanError = isBanyanError(error) ? error : fromFailure(error, url);
  if (lost > LOST_MAX) throw failure;
  await pause(failure, lost, signal);
}
