import type { api } from "@banyan/contracts";
import type { Camel } from "./case.ts";
import type { Client } from "./client.ts";
import { Fork, type ForkInfo } from "./fork.ts";
import { type ForkOptions, forkBody } from "./fork-options.ts";
import type { Image, ImageSpec } from "./image.ts";
import type { Images } from "./images.ts";

/** One of the three says what is forked. */
export type ForkOrigin = { sandbox: string } | { snapshot: string } | { image: string | Image | ImageSpec };
/** `count` may be left out where `each` says it by its length. */
export type CreateForkOptions = ForkOrigin & ForkOptions & { count?: number };

export interface ListForksOptions {
  /** Only those of this sandbox. */
  sandbox?: string;
  pageSize?: number;
}

interface Page {
  forks: api.Fork[];
  next_cursor: string | null;
}

export class Forks {
  readonly #client: Client;
  readonly #images: Images;

  constructor(client: Client, images: Images) {
    this.#client = client;
    this.#images = images;
  }

  /** Forks an image, a snapshot or a sandbox; resolves as soon as it is written down. An image that is stated is built first. */
  async create({ count, ...options }: CreateForkOptions): Promise<Fork> {
    const { sandbox, snapshot, image, ...rest } = options as Partial<Record<"sandbox" | "snapshot", string>> & {
      image?: string | Image | ImageSpec;
    } & ForkOptions;
    const source = {
      ...(sandbox !== undefined && { sandbox }),
      ...(snapshot !== undefined && { snapshot }),
      ...(image !== undefined && { image: await this.#idOf(image) }),
    };
    const json = { source, ...forkBody(rest, count) };
    return new Fork(this.#client, await this.#client.keyed<api.Fork>("POST", "/v1/forks", { json }));
  }

  async get(id: string): Promise<Fork> {
    return new Fork(this.#client, await this.#client.json<api.Fork>("GET", `/v1/forks/${encodeURIComponent(id)}`));
  }

  /** All of them, newest first, page by page as they are asked for. */
  async *list({ sandbox, pageSize }: ListForksOptions = {}): AsyncGenerator<ForkInfo, void, undefined> {
    let cursor: string | null | undefined;
    do {
      const page: Camel<Page> = await this.#client.json<Page>("GET", "/v1/forks", {
        query: { sandbox, limit: pageSize, cursor: cursor ?? undefined },
      });
      yield* page.forks;
      cursor = page.nextCursor;
    } while (cursor !== null);
  }

  async #idOf(image: string | Image | ImageSpec): Promise<string> {
    return typeof image === "string" ? image : (await this.#images.build(image)).image.id;
  }
}
