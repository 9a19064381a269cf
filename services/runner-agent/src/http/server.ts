import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { fault } from "@banyan/contracts";
import { type Clock, idPattern, type Logger } from "@banyan/kernel";
import { withSpanFrom } from "@banyan/telemetry";
import type { SandboxDirectory } from "../ports.ts";
import { authoriser, type Claims, requestIdOf } from "./authorise.ts";
import type { Operation } from "./operation.ts";
import { sendProblem } from "./reply.ts";
import { matchRoute } from "./routes.ts";
import { createUpgrades } from "./upgrades.ts";

export interface DataPlaneDeps {
  directory: SandboxDirectory;
  /** What the gateway proves itself with. */
  clusterToken: string;
  logger: Logger;
  clock: Clock;
}

export interface DataPlane {
  listen(host: string, port: number): Promise<{ port: number }>;
  /** Ends every connection: what runs in the foreground of a sandbox ends with it. */
  close(): Promise<void>;
}

const SANDBOX_ID = idPattern("sbx");
const TARGET = /^\/sandboxes\/([^/?]+)(?:\/([^?]*))?(\?.*)?$/s;
/** Longer than the gateway keeps an idle connection, so that the gateway is the one to close it. */
const KEEP_ALIVE_TIMEOUT_MS = 65_000;
const HEADERS_TIMEOUT_MS = 30_000;
const CONNECTIONS_MAX = 20_000;

export interface Target {
  sandboxId: string;
  path: string;
  query: string;
}

/**
 * The node's end of the data plane: exec, processes, pty, files and ports of the sandboxes that run here. node:http itself, without a
 * framework: the routes are a table, and the bodies are streams on both sides.
 */
export function createDataPlane(deps: DataPlaneDeps): DataPlane {
  const { directory, logger, clock } = deps;
  const authorise = authoriser(deps.clusterToken);
  const upgrades = createUpgrades(logger);
  const sockets = new Set<Duplex>();
  const server = createServer({
    keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
    headersTimeout: HEADERS_TIMEOUT_MS,
    requestTimeout: 0,
    noDelay: true,
  });
  server.maxConnections = CONNECTIONS_MAX;
  // A stream may rest for hours between two bytes.
  server.timeout = 0;

  /** Throws what the caller did wrong, or that the sandbox is not here. */
  function admit(request: IncomingMessage): { claims: Claims; target: Target; sandbox: ReturnType<SandboxDirectory["find"]> } {
    const claims = authorise(request.headers);
    const target = parseTarget(request.url ?? "");
    const sandbox = directory.find({ sandboxId: target.sandboxId, orgId: claims.orgId, epoch: claims.epoch });
    return { claims, target, sandbox };
  }

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const arrivedMs = clock.monotonicMs();
    response.sendDate = false;
    const { claims, target, sandbox } = admit(request);
    const { handler, params, rest } = matchRoute(request.method ?? "GET", target.path);
    const gone = new AbortController();
    response.once("close", () => {
      if (!response.writableFinished) gone.abort();
    });
    const { requestId } = claims;
    const operation: Operation = {
      request,
      response,
      sandbox,
      requestId,
      params,
      rest,
      query: target.query,
      arrivedMs,
      clock,
      logger,
      signal: gone.signal,
    };
    const release = sandbox.use();
    try {
      await withSpanFrom(
        request.headers,
        `node ${request.method} ${target.path.split("/", 1)[0]}`,
        { "banyan.sandbox": target.sandboxId },
        () => handler(operation),
      );
    } finally {
      release();
    }
  }

  server.on("request", (request, response) => {
    serve(request, response).catch((thrown: unknown) => {
      sendProblem(response, thrown, requestIdOf(request.headers["x-request-id"]), logger);
      // What is left of the body is read away, so that the answer is not lost to a reset connection.
      request.resume();
    });
  });
  server.on("upgrade", (request: IncomingMessage, socket: Duplex, head: Buffer) =>
    upgrades.take(request, socket, head, () => admit(request)),
  );
  server.on("connection", (socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  });

  return {
    listen: (host, port) =>
      new Promise((resolve, reject) => {
        server.once("error", reject);
        server.listen(port, host, () => {
          server.off("error", reject);
          resolve({ port: (server.address() as AddressInfo).port });
        });
      }),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}

export function parseTarget(url: string): Target {
  const [, sandboxId = "", path = "", query = ""] = TARGET.exec(url) ?? [];
  if (sandboxId === "") throw fault("request.not_found");
  if (!SANDBOX_ID.test(sandboxId)) throw fault("sandbox.not_found", { sandboxId: sandboxId.slice(0, 64) });
  return { sandboxId, path, query };
}
