import { api, fault } from "@banyan/contracts";
import { traceHeaders } from "@banyan/telemetry";
import { type Context, Hono } from "hono";
import type { VolumeRoutes } from "../ports.ts";
import { alreadySent, type ForwardDeps, streamOf, takeBody } from "./forward.ts";
import { operationHeaders, type RawHeaders, replyHeaders } from "./headers.ts";
import type { ForwardEnv } from "./routes.ts";
import { type IsStale, type NodeRequest, type Sent, send } from "./send.ts";
import { withoutParameters } from "./target.ts";

/** The route remembered, and the one asked for after nobody was there, or somebody else. */
const ATTEMPTS_MAX = 2;
const RETRY_AFTER_MS = 1_000;
const PROBE_MS = 5_000;
/** Done twice they are as if done once. */
const SAFE_METHODS: ReadonlySet<string> = new Set(["GET", "HEAD"]);
const NAME_MAX = 255;
const PLACE = new RegExp(`^/v1/volumes/([^/?]+)(/(?:${api.VOLUME_PLANE_SEGMENTS.join("|")})(?:/[^?]*)?)(\\?.*)?$`, "s");

export interface VolumeForwardDeps extends Pick<ForwardDeps, "nodes" | "clusterToken" | "logger"> {
  volumes: VolumeRoutes;
}

/** The content of volumes below `/v1/volumes`: `/{id or name}/{files,uploads}/…`, passed on to the volume-manager as it streams. */
export function volumeForwardRoutes(deps: VolumeForwardDeps): Hono<ForwardEnv> {
  const app = new Hono<ForwardEnv>();
  for (const segment of api.VOLUME_PLANE_SEGMENTS) {
    app.all(`/:id/${segment}`, (c) => pass(deps, c));
    app.all(`/:id/${segment}/*`, (c) => pass(deps, c));
  }
  return app;
}

interface Place {
  /** A name or id. */
  volume: string;
  /** Below the volume, as the request line had it, query included. */
  rest: string;
}

/** The rest is neither decoded nor normalised, so what is checked is what is sent. */
function placeOf(url: string): Place {
  const [, name = "", rest = "", query = ""] = PLACE.exec(url) ?? [];
  if (name === "") throw fault("request.not_found");
  let volume: string;
  try {
    volume = decodeURIComponent(name);
  } catch (cause) {
    throw fault("volume.not_found", { volume: name.slice(0, NAME_MAX) }, { cause });
  }
  if (volume.length > NAME_MAX) throw fault("volume.not_found", { volume: volume.slice(0, NAME_MAX) });
  return { volume, rest: `${rest}${withoutParameters(query, "api_key")}` };
}

async function pass(deps: VolumeForwardDeps, c: Context<ForwardEnv>): Promise<Response> {
  const { incoming, outgoing } = c.env;
  const { orgId } = c.get("caller");
  const requestId = c.get("requestId");
  const { volume, rest } = placeOf(incoming.url ?? "");
  const taken = await takeBody(incoming);
  const isHeld = taken === null || Buffer.isBuffer(taken);
  for (let attempt = 1; ; attempt++) {
    const last = attempt === ATTEMPTS_MAX;
    const route = await deps.volumes.find(orgId, volume);
    const internal = internalHeaders(deps, orgId, requestId);
    const headers = [...operationHeaders(incoming.rawHeaders), ...internal];
    const request: NodeRequest = {
      method: incoming.method ?? "GET",
      path: `/volumes/${route.volumeId}${rest}`,
      headers,
      body: isHeld ? taken : streamOf(taken),
    };
    // A stream cannot be sent twice: whether it is still he who is there is asked before its first byte goes out.
    const absent = isHeld ? null : await probe(deps, route, internal);
    const stale = isHeld && !last ? isAnothers(route.volumeId) : null;
    const reply = (raw: readonly string[]): RawHeaders => replyHeaders(raw, requestId);
    const sent = absent ?? (await send(deps.nodes.to(route.url), request, outgoing, { reply, stale }));
    if (sent.kind === "answered") return alreadySent(sent.status);
    deps.volumes.forget(route.volumeId);
    const cause = sent.kind === "stale" ? new Error(`somebody else answers at ${route.url}`) : sent.cause;
    deps.logger.warn({ volumeId: route.volumeId, err: cause, kind: sent.kind, attempt }, "the content of a volume was not served");
    const mayRepeat = sent.kind !== "broken" || (isHeld && SAFE_METHODS.has(request.method));
    if (mayRepeat && !last) continue;
    throw unreachable(route.volumeId, sent.kind, cause);
  }
}

/** Another process may have got the port of one that has ended: what it says is not about this volume, and it has done nothing with it. */
const isAnothers =
  (volumeId: string): IsStale =>
  (_status, headers) =>
    headers[api.VOLUME_HEADER] !== volumeId;

function unreachable(volumeId: string, kind: Exclude<Sent["kind"], "answered">, cause: Error): Error {
  const message = kind === "broken" ? "It went away before it answered; the request may have been carried out." : undefined;
  return fault("volume.unreachable", { volumeId, retryAfterMs: RETRY_AFTER_MS }, { cause, ...(message !== undefined && { message }) });
}

function internalHeaders({ clusterToken }: VolumeForwardDeps, orgId: string, requestId: string): RawHeaders {
  const names = api.FORWARD_HEADERS;
  const traced = Object.entries(traceHeaders()).flat();
  return [names.authorization, `Bearer ${clusterToken}`, names.orgId, orgId, names.requestId, requestId, ...traced];
}

async function probe(
  deps: VolumeForwardDeps,
  { volumeId, url }: { volumeId: string; url: string },
  headers: RawHeaders,
): Promise<Extract<Sent, { kind: "unsent" | "stale" }> | null> {
  try {
    const signal = AbortSignal.timeout(PROBE_MS);
    const answer = await deps.nodes.to(url).request({ method: "GET", path: `/volumes/${volumeId}`, headers, signal });
    await answer.body.dump();
    return isAnothers(volumeId)(answer.statusCode, answer.headers) ? { kind: "stale", status: answer.statusCode } : null;
  } catch (cause) {
    return { kind: "unsent", cause: cause instanceof Error ? cause : new Error(String(cause)) };
  }
}
