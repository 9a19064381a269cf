import type { ServerResponse } from "node:http";
import type { Readable } from "node:stream";
import { api } from "@banyan/contracts";
import type { Dispatcher, Pool } from "undici";
import type { RawHeaders } from "./headers.ts";

export interface NodeRequest {
  method: string;
  path: string;
  headers: RawHeaders;
  /** Bytes can be sent a second time; a stream cannot once it has been touched. */
  body: Buffer | Readable | null;
}

export interface SendOptions {
  /** Turns the node's headers into the client's. */
  reply(raw: readonly string[]): RawHeaders;
  /** Whether an answer says that the route is stale: it is kept from the client, because there will be a second try. Null: every answer is his. */
  stale: IsStale | null;
}

type ReplyHeaders = Readonly<Record<string, string | string[] | undefined>>;
export type IsStale = (status: number, headers: ReplyHeaders) => boolean;

/**
 * answered: the client has the node's whole answer (or went away). stale: the node says the sandbox is not, or no longer, there as
 * this gateway believed; nothing was done. unsent: no connection; nothing was done. broken: it went away before it answered; it may have acted.
 */
export type Sent =
  | { kind: "answered"; status: number }
  | { kind: "stale"; status: number }
  | { kind: "unsent"; cause: Error }
  | { kind: "broken"; cause: Error };

/** For logs only: nobody is there to read it. */
const STATUS_CLIENT_GONE = 499;

const STALE: ReadonlySet<string> = new Set(["sandbox.stale_epoch", "sandbox.not_running", "sandbox.not_found"]);

/** Whether a node's answer says that the route to it does not hold (any more). */
export function saysStale(status: number, headers: ReplyHeaders): boolean {
  return status >= 400 && STALE.has(String(headers[api.ERROR_CODE_HEADER]));
}

/** One request to one node, its answer streamed to the client with back-pressure both ways. Never rejects. */
export function send(pool: Pool, request: NodeRequest, response: ServerResponse, options: SendOptions): Promise<Sent> {
  return new Promise((resolve) => {
    const relay = new Relay(response, options, resolve);
    pool.dispatch(
      { method: request.method as Dispatcher.HttpMethod, path: request.path, headers: request.headers, body: request.body },
      relay,
    );
  });
}

class Relay implements Dispatcher.DispatchHandler {
  readonly #response: ServerResponse;
  readonly #options: SendOptions;
  readonly #resolve: (sent: Sent) => void;
  #controller: Dispatcher.DispatchController | null = null;
  #status = 0;
  #stale = false;

  constructor(response: ServerResponse, options: SendOptions, resolve: (sent: Sent) => void) {
    this.#response = response;
    this.#options = options;
    this.#resolve = resolve;
    response.on("close", this.#onClose);
    response.on("drain", this.#onDrain);
  }

  readonly #onClose = () => {
    if (!this.#response.writableFinished) this.#controller?.abort(new ClientGone());
  };
  readonly #onDrain = () => this.#controller?.resume();

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#response.destroyed) controller.abort(new ClientGone());
  }

  onResponseStart(controller: Dispatcher.DispatchController, status: number, headers: Record<string, string | string[] | undefined>): void {
    if (status < 200) return;
    this.#status = status;
    this.#stale = this.#options.stale?.(status, headers) ?? false;
    if (this.#stale) return;
    this.#response.writeHead(status, this.#options.reply(rawHeadersOf(controller)));
    // With a length the first bytes are here already and go out together with the head; a stream may stay silent for long.
    if (headers["content-length"] === undefined) this.#response.flushHeaders();
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (!this.#stale && !this.#response.write(chunk)) controller.pause();
  }

  onResponseEnd(): void {
    if (!this.#stale) this.#response.end();
    this.#settle(this.#stale ? { kind: "stale", status: this.#status } : { kind: "answered", status: this.#status });
  }

  onResponseError(_controller: Dispatcher.DispatchController, cause: Error): void {
    this.#settle(this.#failed(cause));
  }

  #failed(cause: Error): Sent {
    if (cause instanceof ClientGone) return { kind: "answered", status: this.#status || STATUS_CLIENT_GONE };
    if (!this.#response.headersSent) return this.#controller === null ? { kind: "unsent", cause } : { kind: "broken", cause };
    // The length or the chunking now breaks off, which tells the client that this is not all.
    this.#response.destroy();
    return { kind: "answered", status: this.#status };
  }

  #settle(sent: Sent): void {
    this.#response.off("close", this.#onClose);
    this.#response.off("drain", this.#onDrain);
    this.#resolve(sent);
  }
}

class ClientGone extends Error {}

function rawHeadersOf(controller: Dispatcher.DispatchController): string[] {
  const raw = controller.rawHeaders;
  return Array.isArray(raw) ? raw.map((part) => (typeof part === "string" ? part : part.toString("latin1"))) : [];
}
