import type { api } from "@banyan/contracts";
import type { Camel } from "./case.ts";
import type { Client } from "./client.ts";
import type { InputOf, OutputOf } from "./schema-types.ts";

export type FileInfo = Camel<api.FileInfo>;
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

const PAGE = 5_000;

/** The files of a sandbox, seen from inside it. */
export class Files {
  readonly #client: Client;
  readonly #path: string;

  constructor(client: Client, sandboxPath: string) {
    this.#client = client;
    this.#path = `${sandboxPath}/files`;
  }

  /** As text. */
  async read(path: string, options: AsUser = {}): Promise<string> {
    return (await this.#content(path, options)).text();
  }

  async readBytes(path: string, options: AsUser = {}): Promise<Uint8Array> {
    return new Uint8Array(await (await this.#content(path, options)).arrayBuffer());
  }

  /** For what is too large to hold. */
  async readStream(path: string, options: AsUser = {}): Promise<ReadableStream<Uint8Array>> {
    return bodyOf(await this.#content(path, options, null));
  }

  /** Whole or not at all, and its directories are made; a stream is sent as it comes. */
  async write(path: string, content: FileContent, options: WriteOptions = {}): Promise<{ path: string; bytesWritten: number }> {
    return this.#client.json<OutputOf<typeof api.WriteResult>>("PUT", `${this.#path}/content`, {
      query: { path, ...options },
      body: content,
      repeatable: !(content instanceof ReadableStream) && !options.append && !options.exclusive,
      timeoutMs: null,
    });
  }

  stat(path: string, options: AsUser & { follow?: boolean } = {}): Promise<FileInfo> {
    return this.#client.json<api.FileInfo>("GET", `${this.#path}/stat`, { query: { path, ...options } });
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
          query: { path, offset, limit: PAGE, ...options },
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
    return this.#client.json<OutputOf<typeof api.FindResult>>("GET", `${this.#path}/find`, { query: { path, glob, ...options } });
  }

  /** By content. */
  grep(path: string, pattern: string, options: GrepOptions = {}): Promise<Camel<OutputOf<typeof api.GrepResult>>> {
    return this.#client.json<OutputOf<typeof api.GrepResult>>("POST", `${this.#path}/grep`, {
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
    return bodyOf(await this.#client.request("GET", `${this.#path}/tar`, { query: { path, ...options }, timeoutMs: null }));
  }

  /** Unpacks a tar there. */
  upload(path: string, tar: FileContent, options: AsUser = {}): Promise<{ entries: number }> {
    return this.#client.json<OutputOf<typeof api.TarResult>>("PUT", `${this.#path}/tar`, {
      query: { path, ...options },
      body: tar,
      headers: { "content-type": "application/x-tar" },
      timeoutMs: null,
    });
  }

  #content(path: string, options: AsUser, timeoutMs?: null): Promise<Response> {
    return this.#client.request("GET", `${this.#path}/content`, { query: { path, ...options }, ...(timeoutMs === null && { timeoutMs }) });
  }

  #post<T>(verb: string, json: object): Promise<T> {
    return this.#client.json<T>("POST", `${this.#path}/${verb}`, { json }) as Promise<T>;
  }
}

function bodyOf(response: Response): ReadableStream<Uint8Array> {
  return response.body ?? new Blob([]).stream();
}
