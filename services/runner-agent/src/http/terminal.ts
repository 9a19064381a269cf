import { api } from "@banyan/contracts";
import type { Exec } from "@banyan/runtime";
import type { RawData, WebSocket } from "ws";
import type { ExecEnd } from "./exec-end.ts";

/** Output that waits for a slow client before the command is held back. */
const UNSENT_BYTES_MAX = 1024 * 1024;
/** Often enough for proxies that end what is silent. */
const PING_MS = 25_000;
const CLOSE_NORMAL = 1000;
const CLOSE_UNSUPPORTED = 1003;
const CLOSE_INTERNAL = 1011;

/** A command on a terminal, and the WebSocket that shows it: binary frames are its bytes, text frames are control. */
export class Terminal {
  #webSocket: WebSocket | null = null;
  /** Shown before the client was there. */
  #early: Buffer[] = [];
  #input: Promise<void> = Promise.resolve();

  /** For the command's output; a promise holds the command back. */
  show(bytes: Buffer): Promise<void> | undefined {
    const webSocket = this.#webSocket;
    if (!webSocket) return void this.#early.push(bytes);
    if (webSocket.bufferedAmount < UNSENT_BYTES_MAX) return void webSocket.send(bytes, { binary: true });
    return new Promise((resolve) => webSocket.send(bytes, { binary: true }, () => resolve()));
  }

  attach(webSocket: WebSocket, exec: Exec): void {
    this.#webSocket = webSocket;
    for (const bytes of this.#early) webSocket.send(bytes, { binary: true });
    this.#early = [];
    const ping = setInterval(() => webSocket.ping(), PING_MS);
    webSocket.on("close", () => clearInterval(ping));
    webSocket.on("error", () => webSocket.terminate());
    webSocket.on("message", (data, isBinary) => (isBinary ? this.#type(exec, data) : this.#control(exec, data)));
  }

  end(exit: ExecEnd): void {
    this.#webSocket?.send(JSON.stringify({ type: "exit", ...exit }));
    this.#webSocket?.close(CLOSE_NORMAL);
  }

  fail(): void {
    this.#webSocket?.close(CLOSE_INTERNAL);
  }

  /** In order, and no faster than the command reads. */
  #type(exec: Exec, data: RawData): void {
    const webSocket = this.#webSocket;
    webSocket?.pause();
    this.#input = this.#input
      .then(() => exec.write(bytesOf(data)))
      // A command that has ended reads no more; its end is on the way.
      .catch(() => undefined)
      .finally(() => webSocket?.resume());
  }

  #control(exec: Exec, data: RawData): void {
    const parsed = api.PtyControl.safeParse(parseJson(bytesOf(data).toString("utf8")));
    if (parsed.success) exec.resize(parsed.data.rows, parsed.data.cols);
    else this.#webSocket?.close(CLOSE_UNSUPPORTED, "text frames are control messages");
  }
}

function bytesOf(data: RawData): Buffer {
  if (Array.isArray(data)) return Buffer.concat(data);
  return Buffer.isBuffer(data) ? data : Buffer.from(data);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
