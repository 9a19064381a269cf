import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { api } from "@banyan/contracts";
import { authoriser, requestIdOf, sendNothing, sendProblem } from "@banyan/files";
import type { Logger } from "@banyan/kernel";
import { withSpanFrom } from "@banyan/telemetry";
import type { Content } from "../content/content.ts";
import type { Uploads } from "../uploads/uploads.ts";
import { serveFiles } from "./files.ts";
import { parseTarget, pick } from "./match.ts";
import type { Operation } from "./operation.ts";
import { serveUploads } from "./uploads.ts";

export interface ContentServerDeps {
  content: Content;
  uploads: Uploads;
  /** What the gateway proves itself with. */
  clusterToken: string;
  logger: Logger;
}

/** Longer than the gateway keeps an idle connection, so that the gateway is the one to close it. */
const KEEP_ALIVE_TIMEOUT_MS = 65_000;
const HEADERS_TIMEOUT_MS = 30_000;
const CONNECTIONS_MAX = 4_096;
const FILES = "files/";

/** The gateway's way to the content of volumes. node:http itself, as on a node: the bodies are streams on both sides. */
export function createContentServer({ content, uploads, clusterToken, logger }: ContentServerDeps): Server {
  const authorise = authoriser(clusterToken);
  const server = createServer({
    keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
    headersTimeout: HEADERS_TIMEOUT_MS,
    requestTimeout: 0,
    noDelay: true,
  });
  server.maxConnections = CONNECTIONS_MAX;
  // A stream may rest for long between two bytes.
  server.timeout = 0;

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    response.sendDate = false;
    const gone = new AbortController();
    response.once("close", () => {
      if (!response.writableFinished) gone.abort();
    });
    const { orgId } = authorise(request.headers);
    const { volumeId, path, query } = parseTarget(request.url ?? "");
    response.setHeader(api.VOLUME_HEADER, volumeId);
    const operation: Operation = { content, uploads, request, response, orgId, volumeId, query, signal: gone.signal };
    const name = `volume ${request.method} ${path.split("/", 1)[0]}`;
    await withSpanFrom(request.headers, name, { "banyan.volume": volumeId }, () => dispatch(operation, path));
  }

  server.on("request", (request, response) => {
    serve(request, response).catch((thrown: unknown) => {
      sendProblem(response, thrown, requestIdOf(request.headers["x-request-id"]), logger);
      // What is left of the body is read away, so that the answer is not lost to a reset connection.
      request.resume();
    });
  });
  return server;
}

function dispatch(operation: Operation, path: string): Promise<void> {
  if (path.startsWith(FILES)) return serveFiles(operation, path.slice(FILES.length));
  if (path === "uploads" || path.startsWith("uploads/")) return serveUploads(operation, path);
  return pick(path === "" ? ROOT_ROUTES : [], operation.request.method ?? "GET").handler(operation);
}

/** Nothing but whether there is somebody here. */
const ROOT_ROUTES = [{ method: "GET", handler: async ({ response }: Operation) => sendNothing(response) }] as const;
