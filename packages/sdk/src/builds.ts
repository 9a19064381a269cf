import type { api } from "@banyan/contracts";
import { type Camel, camelize } from "./case.ts";
import { type Client, pause } from "./client.ts";
import { fromFailure, fromProblem, isBanyanError } from "./error.ts";
import type { BuiltImage } from "./images.ts";
import type { BuildEvent } from "./long-work.ts";
import { readServerEvents } from "./server-events.ts";

export type Build = Camel<api.Build>;

export interface ListBuildsOptions {
  /** Only those of this image. */
  image?: string;
  pageSize?: number;
}

export interface BuildEventsOptions {
  /** Only those with a higher number. */
  after?: number;
  /** Go on until the build has ended. Default: true. */
  follow?: boolean;
  signal?: AbortSignal;
}

interface Page {
  builds: api.Build[];
  next_cursor: string | null;
}
interface EventPage {
  events: api.BuildEvent[];
  ended: boolean;
  next_after: number;
}

const LOST_MAX = 5;
const ENDED: readonly Build["state"][] = ["ready", "failed", "cancelled"];

/** The work of making images. */
export class Builds {
  readonly #client: Client;

  constructor(client: Client) {
    this.#client = client;
  }

  async *list({ image, pageSize }: ListBuildsOptions = {}): AsyncGenerator<Build, void, undefined> {
    let cursor: string | null | undefined;
    do {
      const page: Camel<Page> = await this.#client.json<Page>("GET", "/v1/builds", {
        query: { image, limit: pageSize, cursor: cursor ?? undefined },
      });
      yield* page.builds;
      cursor = page.nextCursor;
    } while (cursor !== null);
  }

  get(id: string): Promise<BuiltImage> {
    return this.#client.json<api.BuiltImage>("GET", pathOf(id));
  }

  cancel(id: string): Promise<Build> {
    return this.#client.keyed<api.Build>("POST", `${pathOf(id)}/cancel`);
  }

  /** What happened in it and what happens, in order and each once, across lost connections. */
  async *events(id: string, { after = 0, follow = true, signal }: BuildEventsOptions = {}): AsyncGenerator<BuildEvent, void, undefined> {
    if (!follow) return yield* this.#past(id, after);
    let last = after;
    for (let lost = 0; ; ) {
      try {
        for await (const event of this.#live(id, last, signal)) {
          last = event.seq;
          lost = 0;
          yield event;
        }
        // A stream ends where the build has, or where something in between cut it.
        if (ENDED.includes((await this.get(id)).build.state)) return;
      } catch (error) {
        if (signal?.aborted || isBanyanError(error)) throw error;
        const failure = fromFailure(error, `${this.#client.url}${pathOf(id)}/events`);
        if (++lost > LOST_MAX) throw failure;
        await pause(failure, lost, signal);
      }
    }
  }

  async *#live(id: string, after: number, signal: AbortSignal | undefined): AsyncGenerator<BuildEvent, void, undefined> {
    const response = await this.#client.request("GET", `${pathOf(id)}/events`, {
      query: { after },
      headers: { accept: "text/event-stream" },
      timeoutMs: null,
      signal,
    });
    for await (const { event, data } of readServerEvents(response)) {
      if (event === "problem") throw fromProblem(JSON.parse(data) as api.Problem);
      yield camelize(JSON.parse(data) as api.BuildEvent) as BuildEvent;
    }
  }

  async *#past(id: string, after: number): AsyncGenerator<BuildEvent, void, undefined> {
    for (let from = after; ; ) {
      const page: Camel<EventPage> = await this.#client.json<EventPage>("GET", `${pathOf(id)}/events`, {
        query: { after: from },
        headers: { accept: "application/json" },
      });
      yield* page.events as BuildEvent[];
      if (page.ended || page.events.length === 0) return;
      from = page.nextAfter;
    }
  }
}

const pathOf = (id: string): string => `/v1/builds/${encodeURIComponent(id)}`;
