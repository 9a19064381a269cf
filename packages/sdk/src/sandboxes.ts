import type { api } from "@banyan/contracts";
import type { Camel } from "./case.ts";
import type { Client } from "./client.ts";
import type { Image, ImageSpec } from "./image.ts";
import type { Images } from "./images.ts";
import { streamed, type WorkOptions } from "./long-work.ts";
import { ANSWER_MARGIN_MS, Sandbox, SandboxHandle, StartedSandbox, WAIT_MS_DEFAULT } from "./sandbox.ts";

export interface CreateSandboxOptions extends Omit<Camel<api.CreateSandboxInput>, "image">, WorkOptions {
  /** The name or id of an image, or one that is stated here: it is built first where need be. */
  image?: string | Image | ImageSpec;
}
export interface ListSandboxesOptions {
  /** All must match. */
  labels?: Record<string, string>;
  states?: api.Sandbox["state"][];
  pageSize?: number;
}

interface Page {
  sandboxes: api.Sandbox[];
  next_cursor: string | null;
}

export class Sandboxes {
  readonly #client: Client;
  readonly #images: Images;

  constructor(client: Client, images: Images) {
    this.#client = client;
    this.#images = images;
  }

  /** Makes one and starts it; it runs when this resolves. `onEvent` hears how an image that is stated is built. */
  async create({ onEvent, signal, ...options }: CreateSandboxOptions = {}): Promise<StartedSandbox> {
    const { image } = options;
    if (image !== undefined && typeof image !== "string") {
      const json = { ...options, image: await this.#images.specOf(image) };
      return new StartedSandbox(
        this.#client,
        await streamed<api.StartedSandbox>(this.#client, "/v1/sandboxes", "sandbox", json, { onEvent, signal }),
      );
    }
    const timeoutMs = (options.waitMs ?? WAIT_MS_DEFAULT) + ANSWER_MARGIN_MS;
    return new StartedSandbox(
      this.#client,
      await this.#client.keyed<api.StartedSandbox>("POST", "/v1/sandboxes", { json: options, timeoutMs, signal }),
    );
  }

  async get(id: string): Promise<Sandbox> {
    return new Sandbox(this.#client, await this.#client.json<api.Sandbox>("GET", `/v1/sandboxes/${encodeURIComponent(id)}`));
  }

  /** To work with one without looking at it first. */
  at(id: string): SandboxHandle {
    return new SandboxHandle(this.#client, id);
  }

  /** All of them, newest first, page by page as they are asked for. */
  async *list({ labels = {}, states = [], pageSize }: ListSandboxesOptions = {}): AsyncGenerator<Sandbox, void, undefined> {
    const label = Object.entries(labels).map(([key, value]) => `${key}=${value}`);
    let cursor: string | null | undefined;
    do {
      const query = { label, state: states, limit: pageSize, cursor: cursor ?? undefined };
      const page: Camel<Page> = await this.#client.json<Page>("GET", "/v1/sandboxes", { query });
      for (const info of page.sandboxes) yield new Sandbox(this.#client, info);
      cursor = page.nextCursor;
    } while (cursor !== null);
  }
}
