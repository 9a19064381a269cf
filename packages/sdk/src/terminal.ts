import type { api } from "@banyan/contracts";
import { type Camel, camelize } from "./case.ts";
import type { Client } from "./client.ts";
import { BanyanError } from "./error.ts";

export interface TerminalOptions {
  cols?: number;
  rows?: number;
  /** A command line; default: the sandbox's login shell. */
  shell?: string;
  cwd?: string;
  user?: string;
}

export type TerminalEnd = Camel<Pick<api.ExecResult, "exit_code" | "signal">>;

export interface Terminal {
  write(data: string | Uint8Array<ArrayBuffer>): void;
  resize(cols: number, rows: number): void;
  /** What it shows, until it ends. */
  readonly output: ReadableStream<Uint8Array>;
  /** How it ended; both null where the connection was lost. */
  readonly ended: Promise<TerminalEnd>;
  close(): void;
}

/** The key goes in the query, since a WebSocket client cannot set headers. */
export async function openTerminal(client: Client, path: string, options: TerminalOptions): Promise<Terminal> {
  const query = new URLSearchParams({ api_key: client.apiKey });
  for (const [name, value] of Object.entries(options)) if (value !== undefined) query.set(name, String(value));
  const socket = new WebSocket(`${client.url.replace(/^http/, "ws")}${path}/pty?${query}`);
  socket.binaryType = "arraybuffer";
  let onEnd: (end: TerminalEnd) => void = () => {};
  const ended = new Promise<TerminalEnd>((resolve) => {
    onEnd = resolve;
  });
  const output = outputOf(socket, onEnd);
  await opened(socket);
  return {
    write: (data) => socket.send(typeof data === "string" ? new TextEncoder().encode(data) : data),
    resize: (cols, rows) => socket.send(JSON.stringify({ type: "resize", cols, rows })),
    output,
    ended,
    close: () => socket.close(),
  };
}

/** Binary frames are the terminal's bytes, text frames say that it has ended. */
function outputOf(socket: WebSocket, onEnd: (end: TerminalEnd) => void): ReadableStream<Uint8Array> {
  return new ReadableStream({
    start(controller) {
      socket.addEventListener("message", (message) => {
        const data: string | ArrayBuffer = message.data;
        if (typeof data !== "string") return controller.enqueue(new Uint8Array(data));
        const { exitCode = null, signal = null } = camelize(JSON.parse(data) as Partial<api.ExecResult>);
        onEnd({ exitCode, signal });
      });
      socket.addEventListener("close", () => {
        onEnd({ exitCode: null, signal: null });
        controller.close();
      });
    },
    cancel: () => socket.close(),
  });
}

/** A WebSocket client is not shown why it was refused, so the error can only name the usual reasons. */
function opened(socket: WebSocket): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.addEventListener("open", () => resolve(), { once: true });
    const refused = () =>
      reject(
        new BanyanError({
          code: "client.terminal_refused",
          message: "The terminal could not be opened.",
          status: null,
          retryable: false,
          retryAfterMs: null,
          fix: "Check that the sandbox runs and that the key is valid: banyan sandbox get <id>.",
          requestId: null,
          details: {},
        }),
      );
    socket.addEventListener("error", refused, { once: true });
  });
}
