import type { IncomingMessage, ServerResponse } from "node:http";
import { Readable } from "node:stream";
import { api, fault, type SandboxRoute } from "@banyan/contracts";
import type { Clock, Logger } from "@banyan/kernel";
import { traceHeaders } from "@banyan/telemetry";
import type { Authenticator, RouteMemory } from "../ports.ts";
import type { RawHeaders } from "./headers.ts";
import type { NodePools } from "./nodes.ts";
import { type NodeRequest, type Sent, saysStale, send } from "./send.ts";

/** A body up to this size is held, so that it can be sent again after a stale route; a larger one is streamed and never held. */
const REPLAY_BYTES_MAX = 64 * 1024;
/** As small as that, it is here soon or its sender is not honest. */
const REPLAY_DEADLINE_MS = 30_000;
/** The route remembered, and the one asked for after it proved stale. */
const ATTEMPTS_MAX = 2;

export interface ForwardDeps {
  authenticator: Authenticator;
  routes: RouteMemory;
  nodes: NodePools;
  clusterToken: string;
  /** How clients reach this API; links are made from it. */
  publicUrl: string;
  logger: Logger;
  clock: Clock;
}

/** One request that is passed on to the node of its sandbox. */
export interface Exchange {
  incoming: IncomingMessage;
  outgoing: ServerResponse;
  orgId: string;
  sandboxId: string;
  requestId: string;
  /** Below `/sandboxes/{id}` of the node, query included. */
  path: string;
  /** The client's, already clean. */
  headers: RawHeaders;
  /** Also to where a stopped sandbox lies: its files are enough. */
  stored?: boolean;
  reply(raw: readonly string[]): RawHeaders;
}

/** Streams the node's answer to the client and resolves with its status; throws only while nothing has been answered. */
export async function forward(deps: ForwardDeps, exchange: Exchange): Promise<number> {
  const { sandboxId, orgId } = exchange;
  const taken = await takeBody(exchange.incoming);
  for (let attempt = 1; ; attempt++) {
    const last = attempt === ATTEMPTS_MAX;
    const route = await (exchange.stored ? deps.routes.findStored(orgId, sandboxId) : deps.routes.find(orgId, sandboxId));
    const held = taken === null || Buffer.isBuffer(taken);
    const request = nodeRequest(deps, exchange, route, held ? taken : streamOf(taken));
    const pool = deps.nodes.to(route.url);
    // A stream cannot be sent twice: whether the route holds is asked before its first byte goes out.
    const wrong = held ? null : await probe(deps, route, exchange.requestId);
    const sent: Sent =
      wrong ?? (await send(pool, request, exchange.outgoing, { reply: exchange.reply, stale: held && !last ? saysStale : null }));
    if (sent.kind === "answered") return sent.status;
    deps.routes.forget(sandboxId);
    if (sent.kind === "stale" && last) throw fault("sandbox.stale_epoch", { sandboxId });
    if (sent.kind === "stale") continue;
    deps.logger.warn({ sandboxId, nodeId: route.nodeId, err: sent.cause, kind: sent.kind, attempt }, "node did not answer");
    if (sent.kind === "unsent" && !last) continue;
    throw unreachable(route, sent.kind, sent.cause);
  }
}

export function unreachable(route: SandboxRoute, kind: "unsent" | "broken", cause: Error) {
  const message = kind === "broken" ? "The sandbox's node went away before it answered; the request may have been carried out." : undefined;
  return fault("node.unreachable", { sandboxId: route.sandboxId, nodeId: route.nodeId }, { cause, ...(message ? { message } : {}) });
}

/** What only gateway and node know; added last, after everything of the client's has been filtered. */
export function internalHeaders(deps: Pick<ForwardDeps, "clusterToken">, route: SandboxRoute, requestId: string): RawHeaders {
  const names = api.FORWARD_HEADERS;
  const headers = [
    names.authorization,
    `Bearer ${deps.clusterToken}`,
    names.orgId,
    route.orgId,
    names.epoch,
    String(route.epoch),
    names.requestId,
    requestId,
  ];
  for (const [name, value] of Object.entries(traceHeaders())) headers.push(name, value);
  return headers;
}

function nodeRequest(deps: ForwardDeps, exchange: Exchange, route: SandboxRoute, body: NodeRequest["body"]): NodeRequest {
  return {
    method: exchange.incoming.method ?? "GET",
    path: `/sandboxes/${exchange.sandboxId}${exchange.path}`,
    headers: [...exchange.headers, ...internalHeaders(deps, route, exchange.requestId)],
    body,
  };
}

async function probe(deps: ForwardDeps, route: SandboxRoute, requestId: string): Promise<Sent | null> {
  try {
    const { statusCode, body } = await deps.nodes
      .to(route.url)
      .request({ method: "GET", path: `/sandboxes/${route.sandboxId}`, headers: internalHeaders(deps, route, requestId) });
    await body.dump();
    return statusCode < 400 ? null : { kind: "stale", status: statusCode };
  } catch (cause) {
    return { kind: "unsent", cause: cause instanceof Error ? cause : new Error(String(cause)) };
  }
}

/** Where the node refuses half-way, only this wrapper is destroyed: the client's connection still carries the answer. */
export function streamOf(incoming: IncomingMessage): Readable {
  return Readable.from(incoming.iterator({ destroyOnReturn: false }));
}

export async function takeBody(incoming: IncomingMessage): Promise<Buffer | IncomingMessage | null> {
  const length = incoming.headers["content-length"];
  if (incoming.headers["transfer-encoding"] !== undefined) return incoming;
  if (length === undefined || length === "0") return null;
  return Number(length) > REPLAY_BYTES_MAX ? incoming : hold(incoming);
}

/** Node's parser has checked that the body is as long as it says. */
function hold(incoming: IncomingMessage): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const late = setTimeout(() => incoming.destroy(), REPLAY_DEADLINE_MS);
    const chunks: Buffer[] = [];
    incoming.on("data", (chunk: Buffer) => chunks.push(chunk));
    incoming.on("end", () => {
      clearTimeout(late);
      resolve(chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks));
    });
    incoming.on("error", (cause) => {
      clearTimeout(late);
      reject(fault("request.invalid", {}, { message: "The body ended before its content-length.", cause }));
    });
  });
}

/** Tells the server adapter that the answer has gone out on the socket; the status is for logs and metrics. */
export function alreadySent(status: number): Response {
  return new Response(null, { status: status >= 200 && status < 600 ? status : 500, headers: { "x-hono-already-sent": "true" } });
}
