import type { ServerResponse } from "node:http";
import { drained } from "@banyan/files";

/** Often enough for proxies that end what is silent. */
const HEARTBEAT_MS = 15_000;

/** Server-sent events to one client, as fast as it reads. The head goes out with the first event, so that until then a problem can be answered. */
export class EventStream {
  readonly #response: ServerResponse;
  #heartbeat: NodeJS.Timeout | null = null;

  constructor(response: ServerResponse) {
    this.#response = response;
  }

  get begun(): boolean {
    return this.#response.headersSent;
  }

  begin(): void {
    if (this.begun || this.#response.destroyed) return;
    this.#response.writeHead(200, {
      "content-type": "text/event-stream; charset=utf-8",
      "cache-control": "no-store",
      "x-accel-buffering": "no",
    });
    this.#response.flushHeaders();
    this.#heartbeat = setInterval(() => this.#response.write(": \n\n"), HEARTBEAT_MS);
  }

  /** A promise where the client must catch up first. */
  send(event: string, data: unknown): Promise<void> | undefined {
    this.begin();
    if (this.#response.write(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`)) return undefined;
    return drained(this.#response);
  }

  end(): void {
    if (this.#heartbeat) clearInterval(this.#heartbeat);
    this.#response.end();
  }
}
