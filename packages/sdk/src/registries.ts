import type { api } from "@banyan/contracts";
import type { Camel } from "./case.ts";
import type { Client } from "./client.ts";

export type Registry = Camel<api.Registry>;

/** Credentials for what images are pulled from. */
export class Registries {
  readonly #client: Client;

  constructor(client: Client) {
    this.#client = client;
  }

  /** The password is never shown again. */
  save(host: string, credentials: { username: string; password: string }): Promise<Registry> {
    return this.#client.keyed<api.Registry>("PUT", `/v1/registries/${encodeURIComponent(host)}`, { json: credentials });
  }

  async list(): Promise<Registry[]> {
    const { registries } = await this.#client.json<{ registries: api.Registry[] }>("GET", "/v1/registries");
    return registries;
  }

  delete(host: string): Promise<void> {
    return this.#client.keyedNoReply("DELETE", `/v1/registries/${encodeURIComponent(host)}`);
  }
}
