import type { api } from "@banyan/contracts";
import { Keys, Organisations, type Usage } from "./access.ts";
import type { Camel } from "./case.ts";
import { Client, type ClientOptions } from "./client.ts";
import { Sandboxes } from "./sandboxes.ts";

export type Node = Camel<api.Node>;
export type Image = Camel<api.Image>;

/** Sandboxes in milliseconds: `const sandbox = await new Banyan().sandboxes.create()`. */
export class Banyan {
  readonly sandboxes: Sandboxes;
  readonly keys: Keys;
  readonly organisations: Organisations;
  readonly #client: Client;

  constructor(options: ClientOptions = {}) {
    this.#client = new Client(options);
    this.sandboxes = new Sandboxes(this.#client);
    this.keys = new Keys(this.#client);
    this.organisations = new Organisations(this.#client);
  }

  /** What the organisation holds, and what it may hold. */
  usage(): Promise<Usage> {
    return this.#client.json<api.Usage>("GET", "/v1/usage");
  }

  /** For keys with the role admin. */
  async nodes(): Promise<Node[]> {
    const { nodes } = await this.#client.json<{ nodes: api.Node[] }>("GET", "/v1/nodes");
    return nodes;
  }

  async images(): Promise<Image[]> {
    const { images } = await this.#client.json<{ images: api.Image[] }>("GET", "/v1/images");
    return images;
  }
}
