import type { api } from "@banyan/contracts";
import type { Camel } from "./case.ts";
import type { Client } from "./client.ts";
import type { PackedContext } from "./context.ts";
import { isBanyanError } from "./error.ts";
import { Image, type ImageSpec } from "./image.ts";
import { streamed, type WorkOptions } from "./long-work.ts";

export type ImageInfo = Camel<api.Image>;
export type ImageDetails = Camel<api.ImageDetails>;
export type BuiltImage = Camel<api.BuiltImage>;
export type BuildPlan = Camel<api.BuildPlan>;

export interface RequestBuildOptions {
  /** Given to the image as soon as it is ready. */
  name?: string;
  /** By name, for the steps that list them. */
  secrets?: Record<string, string>;
  /** Build also what failed just now. */
  force?: boolean;
}

export interface ListImagesOptions {
  kind?: ImageInfo["kind"];
  pageSize?: number;
}

interface Page {
  images: api.Image[];
  next_cursor: string | null;
}

/** What a sandbox can be made from. */
export class Images {
  readonly #client: Client;

  constructor(client: Client) {
    this.#client = client;
  }

  /** Builds it, or finds it built; it is ready when this resolves. Throws a BanyanError that names the step where the build fails. */
  async build(image: Image | ImageSpec, { onEvent, signal, ...options }: RequestBuildOptions & WorkOptions = {}): Promise<BuiltImage> {
    const spec = await this.specOf(image);
    return streamed<api.BuiltImage>(this.#client, "/v1/images", "image", { spec, ...options }, { onEvent, signal });
  }

  /** The same without waiting: see `build.state`, and follow it with `banyan.builds.events`. */
  async request(image: Image | ImageSpec, options: RequestBuildOptions = {}): Promise<BuiltImage> {
    return this.#client.keyed<api.BuiltImage>("POST", "/v1/images", { json: { spec: await this.specOf(image), ...options } });
  }

  /** What a build would do. Nothing is built. */
  async plan(image: Image | ImageSpec): Promise<BuildPlan> {
    const json = { spec: await this.specOf(image) };
    return this.#client.json<api.BuildPlan>("POST", "/v1/images", { query: { dry_run: true }, json, repeatable: true });
  }

  /** All that the organisation sees, newest first, page by page as they are asked for. */
  async *list({ kind, pageSize }: ListImagesOptions = {}): AsyncGenerator<ImageInfo, void, undefined> {
    let cursor: string | null | undefined;
    do {
      const page: Camel<Page> = await this.#client.json<Page>("GET", "/v1/images", {
        query: { kind, limit: pageSize, cursor: cursor ?? undefined },
      });
      yield* page.images;
      cursor = page.nextCursor;
    } while (cursor !== null);
  }

  /** By its id or a name. */
  get(ref: string): Promise<ImageDetails> {
    return this.#client.json<api.ImageDetails>("GET", `/v1/images/${encodeURIComponent(ref)}`);
  }

  /** Gives it one name more, taken from whichever image had it. */
  name(id: string, name: string): Promise<ImageInfo> {
    return this.#client.keyed<api.Image>("PUT", `/v1/images/${encodeURIComponent(id)}/names`, { json: { name } });
  }

  unname(id: string, name: string): Promise<void> {
    return this.#client.keyedNoReply("DELETE", `/v1/images/${encodeURIComponent(id)}/names`, { query: { name } });
  }

  /** Refused while anything uses it. */
  delete(id: string): Promise<void> {
    return this.#client.keyedNoReply("DELETE", `/v1/images/${encodeURIComponent(id)}`);
  }

  /** The API's JSON of it; what it copies from here is uploaded where it is not there yet. */
  async specOf(image: Image | ImageSpec): Promise<ImageSpec> {
    return image instanceof Image ? image.toSpec((context) => this.#upload(context)) : image;
  }

  async #upload({ digest, read }: PackedContext): Promise<void> {
    const path = `/v1/contexts/${digest}`;
    if (await this.#has(path)) return;
    const body = ReadableStream.from(read()) as ReadableStream<Uint8Array>;
    const response = await this.#client.request("PUT", path, { body, headers: { "content-type": "application/x-tar" }, timeoutMs: null });
    await response.body?.cancel();
  }

  async #has(path: string): Promise<boolean> {
    try {
      await this.#client.request("HEAD", path, { repeatable: true });
      return true;
    } catch (error) {
      if (isBanyanError(error) && error.status === 404) return false;
      throw error;
    }
  }
}
