import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { type Clock, type Logger, messageOf } from "@banyan/kernel";

const CHECK_MS = 2_000;

export type Checks = Record<string, () => Promise<void>>;

export interface HealthOptions {
  host: string;
  port: number;
  /** Asked at every request for /readyz. Null: still starting, or stopping. */
  checks: () => Checks | null;
  handleMetrics: (request: IncomingMessage, response: ServerResponse) => void;
  logger: Logger;
  clock: Clock;
}

export interface HealthServer {
  port: number;
  stop(): Promise<void>;
}

/** /healthz: the process lives. /readyz: it can do its work. /metrics: Prometheus. */
export async function startHealthServer(options: HealthOptions): Promise<HealthServer> {
  const server = createServer((request, response) => {
    const path = request.url?.split("?")[0];
    if (path === "/healthz") return send(response, 200, { status: "ok" });
    if (path === "/metrics") return options.handleMetrics(request, response);
    if (path !== "/readyz") return send(response, 404, { status: "not found" });
    answerReady(options, response).catch((err) => options.logger.error({ err }, "cannot answer a readiness request"));
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", (cause) =>
      reject(new Error(`the health server cannot listen on ${options.host}:${options.port}: ${messageOf(cause)}`, { cause })),
    );
    server.listen(options.port, options.host, resolve);
  });
  const address = server.address();
  return {
    port: address !== null && typeof address === "object" ? address.port : options.port,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function answerReady({ checks, clock }: HealthOptions, response: ServerResponse): Promise<void> {
  const asked = checks();
  if (asked === null) return send(response, 503, { status: "not ready" });
  const results = await Promise.all(Object.entries(asked).map(async ([name, check]) => [name, await resultOf(check, clock)] as const));
  const isReady = results.every(([, result]) => result === "ok");
  send(response, isReady ? 200 : 503, { status: isReady ? "ready" : "not ready", checks: Object.fromEntries(results) });
}

/** "ok", or what is wrong; a check that hangs is wrong too. */
async function resultOf(check: () => Promise<void>, clock: Clock): Promise<string> {
  const ended = new AbortController();
  const late = clock.sleep(CHECK_MS, ended.signal).then(
    () => `no answer within ${CHECK_MS} ms`,
    () => "",
  );
  try {
    return await Promise.race([check().then(() => "ok"), late]);
  } catch (error) {
    return messageOf(error);
  } finally {
    ended.abort();
  }
}

function send(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { "content-type": "application/json" }).end(`${JSON.stringify(body)}\n`);
}
