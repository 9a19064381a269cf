import type { api } from "@banyan/contracts";
import type { Camel } from "./case.ts";
import type { Client } from "./client.ts";
import { Volume, VolumeHandle } from "./volume.ts";

export type CreateVolumeOptions = Camel<api.CreateVolumeInput>;
export interface ListVolumesOptions {
  /** All must match. */
  labels?: Record<string, string>;
  pageSize?: number;
}

/** A store that is busy or away for a moment is waited for, so that whoever has made a volume can use it. */
const READY_S = 60;
const ANSWER_MARGIN_S = 15;

interface Page {
  volumes: api.Volume[];
  next_cursor: string | null;
}

/** Files that any number of sandboxes mount. */
export class Volumes {
  readonly #client: Client;

  constructor(client: Client) {
    this.#client = client;
  }

  async create(options: CreateVolumeOptions = {}): Promise<Volume> {
    const request = { json: options, headers: { prefer: `wait=${READY_S}` }, timeoutMs: (READY_S + ANSWER_MARGIN_S) * 1_000 };
    return new Volume(this.#client, await this.#client.keyed<api.Volume>("POST", "/v1/volumes", request));
  }

  /** By its id or name. */
  async get(ref: string): Promise<Volume> {
    return new Volume(this.#client, await this.#client.json<api.Volume>("GET", `/v1/volumes/${encodeURIComponent(ref)}`));
  }

  /** To work with one without looking at it first, by its id or name. */
  at(ref: string): VolumeHandle {
    return new VolumeHandle(this.#client, ref);
  }

  /** All of them, newest first, page by page as they are asked for. */
  async *list({ labels = {}, pageSize }: ListVolumesOptions = {}): AsyncGenerator<Volume, void, undefined> {
    const label = Object.entries(labels).map(([key, value]) => `${key}=${value}`);
    let cursor: string | null | undefined;
    do {
      const query = { label, limit: pageSize, cursor: cursor ?? undefined };
      const page: Camel<Page> = await this.#client.json<Page>("GET", "/v1/volumes", { query });
      for (const info of page.volumes) yield new Volume(this.#client, info);
      cursor = page.nextCursor;
    } while (cursor !== null);
  }
}
