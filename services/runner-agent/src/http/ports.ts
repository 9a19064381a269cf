import { type ClientRequest, request as httpRequest, type IncomingMessage, type ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { pipeline } from "node:stream/promises";
import { fault } from "@banyan/contracts";
import { bodyOf, translating } from "@banyan/files";
import type { RunningSandbox } from "../ports.ts";
import type { Operation } from "./operation.ts";

const PORT_MAX = 65_535;
const INTERNAL_PREFIX = "x-banyan-";
const HOP_BY_HOP = new Set(["connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"]);

/** Any method on `ports/{port}/…`: passed to the server inside, its answer passed back, both as they come. */
export async function portRequest(operation: Operation): Promise<void> {
  const { request, response, sandbox, signal } = operation;
  const port = portOf(operation.params.port);
  const socket = await dial(sandbox, port);
  const close = () => socket.destroy();
  signal.addEventListener("abort", close, { once: true });
  try {
    const answer = await ask(socket, operation, port);
    answerHead(response, answer, port);
    await pipeline(answer, response);
  } finally {
    signal.removeEventListener("abort", close);
    socket.destroy();
    // The application may answer without reading all; nobody else will.
    request.resume();
  }
}

/** What a server inside says of itself may be no legal head at all. */
function answerHead(response: ServerResponse, answer: IncomingMessage, port: number): void {
  try {
    response.writeHead(answer.statusCode ?? 0, passable(answer.rawHeaders));
  } catch (cause) {
    throw noAnswer(port, cause);
  }
  response.flushHeaders();
}

/** Resolves with the head of the answer; the body goes in beside it, because an answer may come before the last of it. */
function ask(socket: Duplex, { request, rest, query }: Operation, port: number): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const headers = applicationHeaders(request.rawHeaders, port);
    // Said again for this connection: without it a body of unknown length would not be told from the next request.
    if (request.headers["transfer-encoding"] !== undefined) headers.push("transfer-encoding", "chunked");
    const inner = httpRequest({ createConnection: () => socket, method: request.method, path: `${rest}${query}`, headers, setHost: false });
    wake(inner);
    inner.on("response", resolve);
    inner.on("error", (cause) => reject(noAnswer(port, cause)));
    pipeline(bodyOf(request), inner).catch((cause: unknown) => reject(noAnswer(port, cause)));
  });
}

/** A dialled socket comes paused, so that nothing is lost before there is a reader; the parser does not know that. */
export function wake(inner: ClientRequest): void {
  inner.once("socket", (socket) => socket.resume());
}

export function portOf(text: string | undefined): number {
  const port = Number(text);
  if (port >= 1 && port <= PORT_MAX) return port;
  throw fault("request.invalid", { issues: [{ path: "port", message: "a port is a number from 1 to 65535" }] });
}

export function dial(sandbox: RunningSandbox, port: number): Promise<Duplex> {
  return translating("port", sandbox.init.dial(port));
}

export function noAnswer(port: number, cause: unknown) {
  return fault("port.no_answer", { port }, { cause });
}

/** The host is the one the application listens on: development servers refuse names they do not know. */
export function applicationHeaders(raw: readonly string[], port: number): string[] {
  return ["host", `localhost:${port}`, ...passable(raw, "host")];
}

/** What the sandbox says in our own headers is not passed on, nor what belongs to one connection. */
export function passable(raw: readonly string[], ...without: string[]): string[] {
  const headers: string[] = [];
  const named = namedByConnection(raw);
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const name = raw[i]?.toLowerCase() ?? "";
    if (named.has(name)) continue;
    if (HOP_BY_HOP.has(name) || name.startsWith(INTERNAL_PREFIX) || without.includes(name)) continue;
    headers.push(raw[i] ?? "", raw[i + 1] ?? "");
  }
  return headers;
}

function namedByConnection(raw: readonly string[]): Set<string> {
  const named = raw.flatMap((name, i) => (i % 2 === 0 && name.toLowerCase() === "connection" ? (raw[i + 1] ?? "").split(",") : []));
  return new Set(named.map((option) => option.trim().toLowerCase()));
}
