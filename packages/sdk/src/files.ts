import type { api } from "@banyan/contracts";
import type { Camel } from "./case.ts";
import type { Client, RequestOptions } from "./client.ts";
import type { InputOf, OutputOf } from "./schema-types.ts";

export type FileInfo = Camel<api.FileInfo>;
export type Checksum = Camel<OutputOf<typeof api.ChecksumResult>>;
export type FileContent = string | Uint8Array<ArrayBuffer> | Blob | ReadableStream<Uint8Array>;

export interface AsUser {
  user?: string;
}
export interface WriteOptions extends AsUser {
  /** Octal: "0644". */
  mode?: string;
  append?: boolean;
  /** Fails where the file exists. */
  exclusive?: boolean;
}
export interface FindOptions extends AsUser {
  depth?: number;
  limit?: number;
}
export type GrepOptions = Omit<Camel<InputOf<typeof api.GrepBody>>, "path" | "pattern">;
export type ChmodOptions = Omit<Camel<InputOf<typeof api.ChmodBody>>, "path">;

export interface StreamOptions extends AsUser {
  /** Only from this byte on. */
  offset?: number;
  signal?: AbortSignal | undefined;
}

const PAGE = 5_000;

/** The files of a sandbox, seen from inside it; or those of a volume, with paths that begin at its root. */
export class Files {
  readonly #client: Client;
  readonly #path: string;
  /** Said with everything that reads. */
  readonly #of: Record<string, string>;

  constructor(client: Client, ownerPath: string, of: Record<string, string> = {}) {
    this.#client = client;
    this.#path = `${ownerPath}/files`;
    this.#of = of;
  }

  /** As text. */
  async read(path: string, options: AsUser = {}): Promise<string> {
    return (await this.#content(path, options)).text();
  }

  async readBytes(path: string, options: AsUser = {}): Promise<Uint8Array> {
    return new Uint8Array(await (await this.#content(path, options)).arrayBuffer());
  }

  /** For what is too large to hold. */
  async readStream(path: string, { offset, signal, ...options }: StreamOptions = {}): Promise<ReadableStream<Uint8Array>> {
    const headers = offset === undefined || offset === 0 ? {} : { range: `bytes=${offset}-` };
    return bodyOf(await this.#content(path, options, { headers, timeoutMs: null, signal }));
  }

  /** Whole or not at all, and its directories are made; a stream is sent as it comes. */
  async write(path: string, content: FileContent, options: WriteOptions = {}): Promise<{ path: string; bytesWritten: number }> {
    this.#refuseVersion();
    return this.#client.json<OutputOf<typeof api.WriteResult>>("PUT", `${this.#path}/content`, {
      query: { path, ...options },
      body: content,
      repeatable: !(content instanceof ReadableStream) && !options.append && !options.exclusive,
      timeoutMs: null,
    });
  }

  stat(path: string, options: AsUser & { follow?: boolean } = {}): Promise<FileInfo> {
    return this.#client.json<api.FileInfo>("GET", `${this.#path}/stat`, { query: { path, ...this.#of, ...options } });
  }

  /** The size of a file and the SHA-256 of its content, made where it lies. */
  checksum(path: string, { signal, ...options }: AsUser & { signal?: AbortSignal | undefined } = {}): Promise<Checksum> {
    const query = { path, ...this.#of, ...options };
    return this.#client.json<OutputOf<typeof api.ChecksumResult>>("GET", `${this.#path}/checksum`, { query, timeoutMs: null, signal });
  }

  /** Every entry of a directory. */
  async list(path: string, options: AsUser = {}): Promise<FileInfo[]> {
    const entries: FileInfo[] = [];
    let offset: number | null = 0;
    while (offset !== null) {
      const page: Camel<OutputOf<typeof api.ListResult>> = await this.#client.json<OutputOf<typeof api.ListResult>>(
        "GET",
        `${this.#path}/list`,
        {
          query: { path, offset, limit: PAGE, ...this.#of, ...options },
        },
      );
      entries.push(...page.entries);
      offset = page.nextOffset;
    }
    return entries;
  }

  mkdir(path: string, options: AsUser & { mode?: string; parents?: boolean } = {}): Promise<FileInfo> {
    return this.#post("mkdir", { path, ...options });
  }

  move(from: string, to: string, options: AsUser & { overwrite?: boolean } = {}): Promise<FileInfo> {
    return this.#post("move", { from, to, ...options });
  }

  remove(path: string, options: AsUser & { recursive?: boolean } = {}): Promise<{ removed: number }> {
    return this.#post("remove", { path, ...options });
  }

  chmod(path: string, options: ChmodOptions): Promise<FileInfo> {
    return this.#post("chmod", { path, ...options });
  }

  /** By name: `*.py`. */
  find(path: string, glob: string, options: FindOptions = {}): Promise<{ entries: FileInfo[]; truncated: boolean }> {
    return this.#client.json<OutputOf<typeof api.FindResult>>("GET", `${this.#path}/find`, {
      query: { path, glob, ...this.#of, ...options },
    });
  }

  /** By content. */
  grep(path: string, pattern: string, options: GrepOptions = {}): Promise<Camel<OutputOf<typeof api.GrepResult>>> {
    return this.#client.json<OutputOf<typeof api.GrepResult>>("POST", `${this.#path}/grep`, {
      query: this.#of,
      json: { path, pattern, ...options },
      repeatable: true,
    });
  }

  /** Literal text in files, each written whole or not at all. */
  replace(paths: string[], find: string, replace: string, options: AsUser = {}): Promise<Camel<OutputOf<typeof api.ReplaceResult>>> {
    return this.#post("replace", { paths, find, replace, ...options });
  }

  /** The tree as tar. */
  async download(path: string, options: AsUser = {}): Promise<ReadableStream<Uint8Array>> {
    return bodyOf(await this.#client.request("GET", `${this.#path}/tar`, { query: { path, ...this.#of, ...options }, timeoutMs: null }));
  }

  /** Unpacks a tar there. */
  async upload(path: string, tar: FileContent, options: AsUser = {}): Promise<{ entries: number }> {
    this.#refuseVersion();
    return this.#client.json<OutputOf<typeof api.TarResult>>("PUT", `${this.#path}/tar`, {
      query: { path, ...options },
      body: tar,
      headers: { "content-type": "application/x-tar" },
      timeoutMs: null,
    });
  }

  #content(path: string, options: AsUser, more: Pick<RequestOptions, "headers" | "timeoutMs" | "signal"> = {}): Promise<Response> {
    return this.#client.request("GET", `${this.#path}/content`, { query: { path, ...this.#of, ...options }, ...more });
  }

  async #post<T>(verb: string, json: object): Promise<T> {
    this.#refuseVersion();
    return this.#client.json<T>("POST", `${this.#path}/${verb}`, { json }) as Promise<T>;
  }

  /** Sent without the version, it would change the volume. */
  #refuseVersion(): void {
    if (this.#of.version !== undefined) throw new TypeError("A version never changes: write to the volume itself.");
  }
}

function bodyOf(response: Response): ReadableStream<Uint8Array> {
  return response.body ?? new Blob([]).stream();
}
