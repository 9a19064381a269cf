import type { api } from "@banyan/contracts";
import type { Camel } from "./case.ts";
import type { Client } from "./client.ts";
import { BanyanError, isBanyanError } from "./error.ts";
import { type Command, type CommandOptions, commandBody } from "./exec.ts";

export type ProcessInfo = Camel<api.Process>;

export interface StartProcessOptions extends CommandOptions {
  /** Default: made up. */
  id?: string;
  /** Whether input will be written later. */
  stdin?: boolean;
}

export interface OutputOptions {
  /** Bytes to skip. */
  offset?: number;
  /** Go on until the process ends. Default: true. */
  follow?: boolean;
  signal?: AbortSignal;
}

const WAIT_ROUND_MS = 60_000;
const NEXT_OFFSET = "x-banyan-next-offset";
/** Connections lost in a row, without a byte between, before reading gives up. */
const RECONNECTS_MAX = 5;

/** Background processes of a sandbox: they outlive the connection that started them. */
export class Processes {
  readonly #client: Client;
  readonly #path: string;

  constructor(client: Client, sandboxPath: string) {
    this.#client = client;
    this.#path = `${sandboxPath}/processes`;
  }

  async start(command: Command, options: StartProcessOptions = {}): Promise<Process> {
    const { id, stdin } = options;
    const json = { ...commandBody(command, options), ...(id !== undefined && { id }), ...(stdin !== undefined && { stdin }) };
    return this.#process(await this.#client.json<api.Process>("POST", this.#path, { json }));
  }

  async get(id: string): Promise<Process> {
    return this.#process(await this.#client.json<api.Process>("GET", `${this.#path}/${encodeURIComponent(id)}`));
  }

  async list(): Promise<Process[]> {
    const { processes } = await this.#client.json<{ processes: api.Process[] }>("GET", this.#path);
    return processes.map((info) => this.#process(info));
  }

  #process(info: ProcessInfo): Process {
    return new Process(this.#client, `${this.#path}/${encodeURIComponent(info.id)}`, info);
  }
}

export class Process {
  readonly #client: Client;
  readonly #path: string;
  /** As it was when last looked at. */
  info: ProcessInfo;

  constructor(client: Client, path: string, info: ProcessInfo) {
    this.#client = client;
    this.#path = path;
    this.info = info;
  }

  get id(): string {
    return this.info.id;
  }

  async refresh(): Promise<ProcessInfo> {
    this.info = await this.#client.json<api.Process>("GET", this.#path);
    return this.info;
  }

  /** Until it ends, or `timeoutMs` have passed: then throws process.wait_timeout. */
  async wait({ timeoutMs = Number.POSITIVE_INFINITY, signal }: { timeoutMs?: number; signal?: AbortSignal } = {}): Promise<ProcessInfo> {
    for (let leftMs = timeoutMs; ; leftMs -= WAIT_ROUND_MS) {
      try {
        const json = { timeoutMs: Math.max(0, Math.min(leftMs, WAIT_ROUND_MS)) };
        this.info = await this.#client.json<api.Process>("POST", `${this.#path}/wait`, { json, timeoutMs: WAIT_ROUND_MS * 2, signal });
        return this.info;
      } catch (error) {
        if (!isBanyanError(error, "process.wait_timeout") || leftMs <= WAIT_ROUND_MS) throw error;
      }
    }
  }

  async signal(signal: string | number = "SIGTERM", options: { tree?: boolean } = {}): Promise<void> {
    const response = await this.#client.request("POST", `${this.#path}/signal`, { json: { signal, ...options } });
    await response.body?.cancel();
  }

  async write(input: string | Uint8Array<ArrayBuffer>, options: { close?: boolean } = {}): Promise<void> {
    const response = await this.#client.request("POST", `${this.#path}/stdin`, { query: { close: options.close }, body: input });
    await response.body?.cancel();
  }

  stdout(options: OutputOptions = {}): AsyncGenerator<Uint8Array, void, undefined> {
    return this.#output("stdout", options);
  }

  stderr(options: OutputOptions = {}): AsyncGenerator<Uint8Array, void, undefined> {
    return this.#output("stderr", options);
  }

  /** A lost connection is taken up again where it broke. */
  async *#output(
    name: "stdout" | "stderr",
    { offset = 0, follow = true, signal }: OutputOptions,
  ): AsyncGenerator<Uint8Array, void, undefined> {
    let at = offset;
    for (let lost = 0; ; lost++) {
      const response = await this.#client.request("GET", `${this.#path}/${name}`, {
        query: { offset: at, follow },
        timeoutMs: null,
        signal,
      });
      const nextOffset = response.headers.get(NEXT_OFFSET);
      try {
        for await (const chunk of response.body ?? []) {
          at += chunk.length;
          lost = 0;
          yield chunk;
        }
      } catch (error) {
        if (signal?.aborted || lost >= RECONNECTS_MAX || error instanceof BanyanError) throw error;
        continue;
      }
      if (follow || nextOffset === null || Number(nextOffset) <= at) return;
    }
  }
}
