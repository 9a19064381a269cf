import { type ClientRequest, request as httpRequest, type IncomingMessage, type Server, STATUS_CODES } from "node:http";
import type { Duplex } from "node:stream";
import { api, fault, type SandboxRoute } from "@banyan/contracts";
import { AppError, newId } from "@banyan/kernel";
import { type ForwardDeps, internalHeaders, unreachable } from "./forward.ts";
import { operationHeaders, portHeaders, portReplyHeaders, type RawHeaders, replyHeaders } from "./headers.ts";
import { type LinkSigner, linkSigner } from "./links.ts";
import { authenticateByKey, clientOf, openLink, portPath, portPlaceOfRequest } from "./preview.ts";
import { saysStale } from "./send.ts";
import { isSandboxId, parsePlace, withoutParameters } from "./target.ts";

const ATTEMPTS_MAX = 2;
const UPGRADES_MAX = 10_000;
const ANSWER_TIMEOUT_MS = 30_000;
const TCP_KEEP_ALIVE_MS = 15_000;

/** Where an upgrade goes, decided before anything is sent. */
interface UpgradePlan {
  orgId: string;
  sandboxId: string;
  path: string;
  headers: RawHeaders;
  reply(raw: readonly string[]): RawHeaders;
}

type Answer = { kind: "upgraded"; head: IncomingMessage; socket: Duplex; rest: Buffer } | { kind: "refused"; head: IncomingMessage };

/** WebSocket to pty and ports: after the node's 101 the two sockets are joined as they are. Returns a function that ends all of them. */
export function attachUpgrades(server: Server, deps: ForwardDeps): () => void {
  const signer = linkSigner(deps.clusterToken);
  const open = new Set<Duplex>();
  const onUpgrade = (incoming: IncomingMessage, socket: Duplex, head: Buffer) => {
    socket.on("error", () => socket.destroy());
    // Another listener of the server may know this place.
    if (!isOurs(incoming) && server.listenerCount("upgrade") > 1) return;
    open.add(socket);
    socket.once("close", () => open.delete(socket));
    const requestId = newId("req");
    relay(deps, signer, { incoming, socket, head, requestId, full: open.size > UPGRADES_MAX }).catch((thrown: unknown) => {
      refuse(socket, thrown instanceof AppError ? thrown : fault("internal", {}, { cause: thrown }), requestId);
      if (!(thrown instanceof AppError)) deps.logger.error({ err: thrown, requestId }, "upgrade failed");
    });
  };
  server.on("upgrade", onUpgrade);
  return () => {
    server.off("upgrade", onUpgrade);
    for (const socket of open) socket.destroy();
  };
}

function isOurs(incoming: IncomingMessage): boolean {
  return portPlaceOfRequest(incoming) !== null || parsePlace(incoming.url ?? "")?.segment === "pty";
}

interface Upgrade {
  incoming: IncomingMessage;
  socket: Duplex;
  head: Buffer;
  requestId: string;
  full: boolean;
}

async function relay(deps: ForwardDeps, signer: LinkSigner, { incoming, socket, head, requestId, full }: Upgrade): Promise<void> {
  if (full) throw fault("exec.too_many", { retryAfterMs: 1_000 }, { message: "Too many connections are open." });
  const plan = await planUpgrade(deps, signer, incoming, requestId);
  for (let attempt = 1; ; attempt++) {
    const route = await deps.routes.find(plan.orgId, plan.sandboxId);
    const answer = await ask(deps, route, plan, requestId).catch((cause: Error) => cause);
    const last = attempt === ATTEMPTS_MAX;
    if (answer instanceof Error) {
      deps.routes.forget(plan.sandboxId);
      if (last) throw unreachable(route, "unsent", answer);
      continue;
    }
    if (answer.kind === "upgraded") return join(socket, head, answer, plan);
    if (!last && saysStale(answer.head.statusCode ?? 0, answer.head.headers)) {
      deps.routes.forget(plan.sandboxId);
      answer.head.destroy();
      continue;
    }
    return passRefusal(socket, answer.head, plan);
  }
}

async function planUpgrade(deps: ForwardDeps, signer: LinkSigner, incoming: IncomingMessage, requestId: string): Promise<UpgradePlan> {
  const port = portPlaceOfRequest(incoming);
  if (port) {
    const link = openLink(deps, signer, incoming, port);
    return {
      orgId: link?.grant.orgId ?? (await authenticateByKey(deps, incoming, port)),
      sandboxId: port.sandboxId,
      path: portPath(port),
      headers: portHeaders(incoming.rawHeaders, { place: port, byLink: link !== null, ...clientOf(deps, incoming) }),
      reply: (raw) => portReplyHeaders(raw, requestId, port.form),
    };
  }
  const place = parsePlace(incoming.url ?? "");
  if (place?.segment !== "pty") throw fault("request.not_found");
  const orgId = await authenticateByKey(deps, incoming, place);
  if (!isSandboxId(place.sandboxId)) throw fault("sandbox.not_found", { sandboxId: place.sandboxId.slice(0, 64) });
  return {
    orgId,
    sandboxId: place.sandboxId,
    path: `/pty${place.rest}${withoutParameters(place.query, "api_key")}`,
    headers: operationHeaders(incoming.rawHeaders),
    reply: (raw) => replyHeaders(raw, requestId),
  };
}

/** Each upgrade has a connection of its own: it stays with it for life. */
function ask(deps: ForwardDeps, route: SandboxRoute, plan: UpgradePlan, requestId: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const url = new URL(route.url);
    const internal = internalHeaders(deps, route, requestId);
    const headers = ["host", url.host, "connection", "Upgrade", "upgrade", "websocket", ...plan.headers, ...internal];
    const target = {
      host: url.hostname,
      port: url.port,
      method: "GET",
      path: `/sandboxes/${plan.sandboxId}${plan.path}`,
      headers,
      agent: false as const,
    };
    const request: ClientRequest = httpRequest({ ...target, timeout: ANSWER_TIMEOUT_MS });
    request.on("timeout", () => request.destroy(new Error("the node did not answer the upgrade")));
    request.on("upgrade", (head, socket, rest) => resolve({ kind: "upgraded", head, socket, rest }));
    request.on("response", (head) => resolve({ kind: "refused", head }));
    request.on("error", reject);
    request.end();
  });
}

function join(
  client: Duplex,
  clientHead: Buffer,
  { head, socket: node, rest }: Extract<Answer, { kind: "upgraded" }>,
  plan: UpgradePlan,
): void {
  for (const socket of [client, node]) {
    if ("setTimeout" in socket && typeof socket.setTimeout === "function") socket.setTimeout(0);
    if ("setNoDelay" in socket && typeof socket.setNoDelay === "function") socket.setNoDelay(true);
    if ("setKeepAlive" in socket && typeof socket.setKeepAlive === "function") socket.setKeepAlive(true, TCP_KEEP_ALIVE_MS);
  }
  // Either end gone, by error too, is the end of both: half a WebSocket is of no use.
  node.on("error", () => node.destroy());
  node.once("close", () => client.destroy());
  client.once("close", () => node.destroy());
  if (client.destroyed) return void node.destroy();
  client.write(responseHead(101, ["connection", "Upgrade", "upgrade", "websocket", ...plan.reply(head.rawHeaders)]));
  if (rest.length > 0) client.write(rest);
  if (clientHead.length > 0) node.write(clientHead);
  node.pipe(client);
  client.pipe(node);
}

function passRefusal(socket: Duplex, head: IncomingMessage, plan: UpgradePlan): void {
  socket.write(responseHead(head.statusCode ?? 502, ["connection", "close", ...plan.reply(head.rawHeaders)]));
  head.on("error", () => socket.destroy());
  head.pipe(socket);
}

function refuse(socket: Duplex, error: AppError, requestId: string): void {
  if (!socket.writable) return void socket.destroy();
  const problem = api.toProblem(error, requestId);
  const body = JSON.stringify(problem);
  const headers = ["connection", "close", "content-type", api.PROBLEM_CONTENT_TYPE, "content-length", String(Buffer.byteLength(body))];
  socket.end(`${responseHead(problem.status, [...headers, api.FORWARD_HEADERS.requestId, requestId])}${body}`);
}

/** Names and values come from Node's own parser, which lets no line break through. */
function responseHead(status: number, headers: RawHeaders): string {
  let head = `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ""}\r\n`;
  for (let i = 0; i + 1 < headers.length; i += 2) head += `${headers[i]}: ${headers[i + 1]}\r\n`;
  return `${head}\r\n`;
}
