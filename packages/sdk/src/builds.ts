import type { api } from "@banyan/contracts";
import type { Camel } from "./case.ts";
import type { Client } from "./client.ts";
import { type FollowOptions, followEvents } from "./followed-events.ts";
import type { BuiltImage } from "./images.ts";
import type { BuildEvent } from "./long-work.ts";

export type Build = Camel<api.Build>;

export interface ListBuildsOptions {
  /** Only those of this image. */
  image?: string;
  pageSize?: number;
}

export type BuildEventsOptions = FollowOptions;

interface Page {
  builds: api.Build[];
  next_cursor: string | null;
}

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
  events(id: string, options: BuildEventsOptions = {}): AsyncGenerator<BuildEvent, void, undefined> {
    const hasEnded = async (): Promise<boolean> => ENDED.includes((await this.get(id)).build.state);
    return followEvents<api.BuildEvent>(this.#client, { path: `${pathOf(id)}/events`, hasEnded }, options);
  }
}

const pathOf = (id: string): string => `/v1/builds/${encodeURIComponent(id)}`;
