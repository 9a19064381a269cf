import { createServer, type RequestListener, type Server } from "node:http";
import { type Clock, messageOf } from "@banyan/kernel";

const HEADERS_TIMEOUT_MS = 15_000;
const KEEP_ALIVE_MS = 65_000;
const DRAIN_MS = 5_000;

export interface HttpServer {
  readonly server: Server;
  readonly port: number;
  /** Requests before this wait for it. */
  answer(listener: RequestListener): void;
  /** Takes no more, and gives what is under way a bounded time to end. */
  stop(): Promise<void>;
}

/** Listens first and answers when there is something to answer with, since the documents name the address it got. */
export async function listen(host: string, port: number, clock: Clock): Promise<HttpServer> {
  // A body may stream for hours, so only the head has a deadline here; JSON bodies have their own.
  const server = createServer({ requestTimeout: 0, headersTimeout: HEADERS_TIMEOUT_MS, keepAliveTimeout: KEEP_ALIVE_MS });
  await new Promise<void>((resolve, reject) => {
    server.once("error", (cause) => reject(new Error(`The gateway cannot listen on ${host}:${port}: ${messageOf(cause)}`, { cause })));
    server.listen(port, host, resolve);
  });
  const address = server.address();
  return {
    server,
    port: address !== null && typeof address === "object" ? address.port : port,
    answer: (listener) => void server.on("request", listener),
    async stop() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      const ended = new AbortController();
      const late = clock.sleep(DRAIN_MS, ended.signal).then(
        () => server.closeAllConnections(),
        () => {},
      );
      await Promise.race([closed, late]);
      ended.abort();
    },
  };
}
