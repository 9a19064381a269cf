import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { fault } from "@banyan/contracts";
import { requestIdOf, sendProblem } from "@banyan/files";
import { type Clock, idPattern, type Logger } from "@banyan/kernel";
import { withSpanFrom } from "@banyan/telemetry";
import type { SandboxDirectory } from "../ports.ts";
import { authoriser, type Claims } from "./authorise.ts";
import type { Operation } from "./operation.ts";
import { matchRoute, matchStored } from "./routes.ts";
import type { StoredFiles } from "./stored-files.ts";
import type { StoredHandler, StoredOperation } from "./stored-operation.ts";
import { createUpgrades } from "./upgrades.ts";

export interface DataPlaneDeps {
  directory: SandboxDirectory;
  /** The same sandboxes and the stopped ones, as files. */
  stored: StoredFiles;
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

type Common = Omit<StoredOperation, "sandbox" | "stored" | "orgId" | "requestId" | "query">;

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
  const { directory, stored, logger, clock } = deps;
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
    const gone = new AbortController();
    response.once("close", () => {
      if (!response.writableFinished) gone.abort();
    });
    const common = { request, response, arrivedMs, clock, logger, signal: gone.signal };
    const storedHandler = matchStored(request.method ?? "GET", pathOf(request));
    if (storedHandler !== null) return serveStored(common, storedHandler);
    const { claims, target, sandbox } = admit(request);
    const { handler, params, rest } = matchRoute(request.method ?? "GET", target.path);
    const operation: Operation = { ...common, sandbox, requestId: claims.requestId, params, rest, query: target.query };
    await carryOut(request, target, sandbox.use(), () => handler(operation));
  }

  async function serveStored(common: Common, handler: StoredHandler): Promise<void> {
    const { orgId, epoch, requestId } = authorise(common.request.headers);
    const target = parseTarget(common.request.url ?? "");
    const sandbox = stored.find({ sandboxId: target.sandboxId, orgId, epoch });
    const operation: StoredOperation = { ...common, sandbox, stored, orgId, requestId, query: target.query };
    await carryOut(common.request, target, sandbox.use(), () => handler(operation));
  }

  async function carryOut(request: IncomingMessage, target: Target, release: () => void, work: () => Promise<void>): Promise<void> {
    const name = `node ${request.method} ${target.path.split("/", 1)[0]}`;
    try {
      await withSpanFrom(request.headers, name, { "banyan.sandbox": target.sandboxId }, work);
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

/** Below the sandbox, without the query; empty where the address is not one of a sandbox. */
const pathOf = (request: IncomingMessage): string => TARGET.exec(request.url ?? "")?.[2] ?? "";

export function parseTarget(url: string): Target {
  const [, sandboxId = "", path = "", query = ""] = TARGET.exec(url) ?? [];
  if (sandboxId === "") throw fault("request.not_found");
  if (!SANDBOX_ID.test(sandboxId)) throw fault("sandbox.not_found", { sandboxId: sandboxId.slice(0, 64) });
  return { sandboxId, path, query };
}
