import type { IncomingMessage, ServerResponse } from "node:http";
import { newId } from "@banyan/kernel";
import type { HttpBindings } from "@hono/node-server";
import type { MiddlewareHandler } from "hono";
import { alreadySent, type ForwardDeps, forward } from "./forward.ts";
import { carriesKey, cookieOf, portHeaders, portReplyHeaders } from "./headers.ts";
import { LINK_COOKIE, LINK_HEADER, LINK_PARAMETER, type LinkGrant, type LinkSigner, linkSigner } from "./links.ts";
import { type PortPlace, parameter, parsePlace, portPlaceOf, portPlaceOfHost, prefixOf, withoutParameters } from "./target.ts";

export interface PreviewEnv {
  Bindings: HttpBindings;
  Variables: { requestId: string };
}

/**
 * Answers requests to a sandbox's port that come by its own host name, with a key or a link, and those in the path form that carry a link.
 * Belongs before the API's authentication: the rest goes on to it.
 */
export function previewMiddleware(deps: ForwardDeps): MiddlewareHandler<PreviewEnv> {
  const signer = linkSigner(deps.clusterToken);
  return async (c, next) => {
    const { incoming, outgoing } = c.env;
    const place = portPlaceOfRequest(incoming);
    if (!place) return next();
    const link = openLink(deps, signer, incoming, place);
    if (!link && place.form === "path") return next();
    const requestId = c.get("requestId") ?? newId("req");
    const orgId = link?.grant.orgId ?? (await authenticateByKey(deps, incoming, place));
    if (!link?.fromQuery) return forwardPort(deps, { place, orgId, byLink: link !== null, incoming, outgoing, requestId });
    // A browser gets the token as a cookie and an address without it; a program that opens a link may keep no cookies.
    const cookie = linkCookie(deps, place, link.token, link.grant);
    if (isNavigation(incoming))
      return c.body(null, 302, { location: cleanUrl(place, incoming), "set-cookie": cookie, "referrer-policy": "no-referrer" });
    return forwardPort(deps, { place, orgId, byLink: true, incoming, outgoing, requestId });
  };
}

export function portPlaceOfRequest(incoming: IncomingMessage): PortPlace | null {
  const url = incoming.url ?? "/";
  const byHost = portPlaceOfHost(incoming.headers.host, url);
  if (byHost) return byHost;
  const place = parsePlace(url);
  return place && portPlaceOf(place);
}

export interface OpenedLink {
  grant: LinkGrant;
  token: string;
  fromQuery: boolean;
}

/** Null where no token was given; throws auth.link_invalid for a wrong one. A stale cookie does not stand in the way of a key. */
export function openLink(deps: ForwardDeps, signer: LinkSigner, incoming: IncomingMessage, place: PortPlace): OpenedLink | null {
  const header = incoming.headers[LINK_HEADER];
  const query = parameter(place.query, LINK_PARAMETER);
  const cookie = cookieOf(incoming.headers.cookie, LINK_COOKIE);
  const hasKey = carriesKey(incoming.headers.authorization) || parameter(place.query, "api_key") !== undefined;
  const token = (typeof header === "string" ? header : undefined) ?? query ?? (hasKey ? undefined : cookie);
  if (token === undefined) return null;
  return { grant: signer.verify(token, place, deps.clock.now()), token, fromQuery: query !== undefined && header === undefined };
}

export async function authenticateByKey(deps: ForwardDeps, incoming: IncomingMessage, place: { query: string }): Promise<string> {
  const { orgId } = await deps.authenticator.authenticate({
    authorization: incoming.headers.authorization,
    apiKey: parameter(place.query, "api_key"),
  });
  return orgId;
}

export interface PortExchange {
  place: PortPlace;
  orgId: string;
  byLink: boolean;
  incoming: IncomingMessage;
  outgoing: ServerResponse;
  requestId: string;
}

/** The path on the node: the application's own path follows the port. */
export function portPath(place: PortPlace): string {
  return `/ports/${place.port}${place.rest}${withoutParameters(place.query, LINK_PARAMETER, "api_key")}`;
}

export async function forwardPort(
  deps: ForwardDeps,
  { place, orgId, byLink, incoming, outgoing, requestId }: PortExchange,
): Promise<Response> {
  const status = await forward(deps, {
    incoming,
    outgoing,
    orgId,
    sandboxId: place.sandboxId,
    requestId,
    path: portPath(place),
    headers: portHeaders(incoming.rawHeaders, { place, byLink, ...clientOf(deps, incoming) }),
    reply: (raw) => portReplyHeaders(raw, requestId, place.form),
  });
  return alreadySent(status);
}

export function clientOf(deps: ForwardDeps, incoming: IncomingMessage): { remoteAddress: string; host: string; proto: string } {
  return {
    remoteAddress: incoming.socket.remoteAddress ?? "unknown",
    host: incoming.headers.host ?? "",
    proto: new URL(deps.publicUrl).protocol.slice(0, -1),
  };
}

function isNavigation(incoming: IncomingMessage): boolean {
  return incoming.method === "GET" && (incoming.headers.accept ?? "").includes("text/html");
}

/** The same address without the token, as a path: whatever the Host header said, it leads nowhere else. */
function cleanUrl(place: PortPlace, incoming: IncomingMessage): string {
  const path = (incoming.url ?? "/").split("?", 1)[0] ?? "/";
  const safe = path.startsWith("/") ? path.replace(/^[/\\]+/, "/") : "/";
  return `${safe}${withoutParameters(place.query, LINK_PARAMETER)}`;
}

function linkCookie(deps: ForwardDeps, place: PortPlace, token: string, grant: LinkGrant): string {
  const maxAgeS = Math.max(1, grant.expiresAtS - Math.floor(deps.clock.now() / 1000));
  const secure = deps.publicUrl.startsWith("https:") ? "; Secure" : "";
  return `${LINK_COOKIE}=${token}; Path=${prefixOf(place)}; Max-Age=${maxAgeS}; HttpOnly; SameSite=Lax${secure}`;
}
