import type { api } from "@banyan/contracts";
import type { Camel } from "./case.ts";
import type { Client } from "./client.ts";
import type { InputOf } from "./schema-types.ts";

export type ApiKey = Camel<api.ApiKey>;
export type CreatedKey = Camel<api.CreatedKey>;
export type CreateKeyOptions = Camel<InputOf<typeof api.CreateKeyBody>>;
export type Organisation = Camel<api.Organisation>;
export type Quota = Camel<api.QuotaBody>;
export type Usage = Camel<api.Usage>;

export class Keys {
  readonly #client: Client;

  constructor(client: Client) {
    this.#client = client;
  }

  /** The secret is in `key`, this once. */
  create(options: CreateKeyOptions): Promise<CreatedKey> {
    return this.#client.keyed<api.CreatedKey>("POST", "/v1/keys", { json: options });
  }

  async list(options: { organisation?: string } = {}): Promise<ApiKey[]> {
    const { keys } = await this.#client.json<{ keys: api.ApiKey[] }>("GET", "/v1/keys", { query: { ...options } });
    return keys;
  }

  revoke(id: string): Promise<void> {
    return this.#client.keyedNoReply("DELETE", `/v1/keys/${encodeURIComponent(id)}`);
  }
}

/** For keys with the role admin. */
export class Organisations {
  readonly #client: Client;

  constructor(client: Client) {
    this.#client = client;
  }

  create(options: { name: string; quota?: Quota }): Promise<Organisation> {
    return this.#client.keyed<api.Organisation>("POST", "/v1/organisations", { json: options });
  }

  async list(): Promise<Organisation[]> {
    const { organisations } = await this.#client.json<{ organisations: api.Organisation[] }>("GET", "/v1/organisations");
    return organisations;
  }

  /** By id or name. */
  get(id: string): Promise<Organisation> {
    return this.#client.json<api.Organisation>("GET", `/v1/organisations/${encodeURIComponent(id)}`);
  }

  /** Amounts not given stay. */
  setQuota(id: string, quota: Partial<Quota>): Promise<Organisation> {
    return this.#client.keyed<api.Organisation>("PATCH", `/v1/organisations/${encodeURIComponent(id)}`, { json: { quota } });
  }
}
