import { api } from "@banyan/contracts";
import { LINK_COOKIE, LINK_HEADER } from "./links.ts";
import { type PortPlace, prefixOf } from "./target.ts";

/** Flat name, value, name, value, …: the form both Node and undici take as it is. */
export type RawHeaders = string[];

/** They describe one connection, not the message. `expect` is answered by this server itself. */
const HOP_BY_HOP = new Set([
  "connection",
  "expect",
  "http2-settings",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);
/** Headers between gateway and node; a client or a sandbox that sends one is not heard. */
const INTERNAL_PREFIX = "x-banyan-";
const KEY_PREFIX = /^bearer\s+bny_/i;

/** Whether the header holds one of our keys; anything else may be meant for an application on a port. */
export function carriesKey(authorization: string | undefined): boolean {
  return authorization !== undefined && KEY_PREFIX.test(authorization);
}

/** All the node's own operations read. An allow list: what a client adds cannot mean anything to a node. */
const OPERATION_HEADERS = new Set([
  "accept",
  "content-encoding",
  "content-length",
  "content-type",
  "range",
  "sec-websocket-extensions",
  "sec-websocket-key",
  "sec-websocket-protocol",
  "sec-websocket-version",
  "traceparent",
  "tracestate",
]);

/** What a response may do to a whole origin, which in the path form is the API's. */
const ORIGIN_WIDE = new Set([
  "alt-svc",
  "clear-site-data",
  "nel",
  "origin-agent-cluster",
  "public-key-pins",
  "report-to",
  "reporting-endpoints",
  "service-worker-allowed",
  "set-cookie",
  "set-cookie2",
  "strict-transport-security",
]);
/** No `allow-same-origin`: the page gets an origin of its own, and reaches neither the API's storage nor its cookies. */
export const PREVIEW_CSP = "sandbox allow-scripts allow-forms allow-modals allow-popups allow-downloads";

/** Calls `take` for every header that may pass from one connection to the next. */
function eachEndToEnd(raw: readonly string[], take: (name: string, value: string, original: string) => void): void {
  let named: Set<string> | null = null;
  for (let i = 0; i + 1 < raw.length; i += 2) {
    if (raw[i]?.toLowerCase() !== "connection") continue;
    named ??= new Set();
    for (const option of (raw[i + 1] ?? "").split(",")) named.add(option.trim().toLowerCase());
  }
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const original = raw[i] ?? "";
    const name = original.toLowerCase();
    if (HOP_BY_HOP.has(name) || named?.has(name)) continue;
    take(name, raw[i + 1] ?? "", original);
  }
}

/** For exec, processes, files, pty. */
export function operationHeaders(raw: readonly string[]): RawHeaders {
  const headers: RawHeaders = [];
  eachEndToEnd(raw, (name, value) => {
    if (OPERATION_HEADERS.has(name)) headers.push(name, value);
  });
  return headers;
}

export interface PortRequest {
  place: PortPlace;
  /** Whether the caller proved themselves with a link: then an Authorization header is meant for the application. */
  byLink: boolean;
  remoteAddress: string;
  host: string;
  proto: string;
}

/** For a port: everything the application may want, nothing that is ours. */
export function portHeaders(raw: readonly string[], { place, byLink, remoteAddress, host, proto }: PortRequest): RawHeaders {
  const headers: RawHeaders = [];
  const forwardedFor: string[] = [];
  eachEndToEnd(raw, (name, value, original) => {
    if (name.startsWith(INTERNAL_PREFIX) || name === LINK_HEADER) return;
    if (name === "host" || name === "forwarded" || name === api.FORWARD_HEADERS.requestId) return;
    if (name === "authorization" && (!byLink || carriesKey(value))) return;
    if (name === "x-forwarded-for") return void forwardedFor.push(value);
    if (name.startsWith("x-forwarded-")) return;
    if (name === "cookie") {
      // In the path form cookies belong to the API's origin, never to the application.
      const kept = place.form === "host" ? withoutLinkCookie(value) : "";
      if (kept !== "") headers.push(original, kept);
      return;
    }
    headers.push(original, value);
  });
  headers.push("x-forwarded-for", [...forwardedFor, remoteAddress].join(", "), "x-forwarded-host", host, "x-forwarded-proto", proto);
  if (place.form === "path") headers.push("x-forwarded-prefix", prefixOf(place).slice(0, -1));
  return headers;
}

function withoutLinkCookie(cookie: string): string {
  return cookie
    .split(";")
    .map((pair) => pair.trim())
    .filter((pair) => !pair.startsWith(`${LINK_COOKIE}=`))
    .join("; ");
}

export function cookieOf(cookie: string | undefined, name: string): string | undefined {
  for (const pair of cookie?.split(";") ?? []) {
    const [key, value] = pair.trim().split("=", 2);
    if (key === name) return value;
  }
  return undefined;
}

/** What a node answered, for the client. */
export function replyHeaders(raw: readonly string[], requestId: string): RawHeaders {
  const headers: RawHeaders = [];
  eachEndToEnd(raw, (name, value, original) => {
    if (name !== api.FORWARD_HEADERS.requestId) headers.push(original, value);
  });
  headers.push(api.FORWARD_HEADERS.requestId, requestId);
  return headers;
}

/** What a sandbox answered through its node: untrusted, and in the path form it must not touch the API's origin. */
export function portReplyHeaders(raw: readonly string[], requestId: string, form: PortPlace["form"]): RawHeaders {
  const headers: RawHeaders = [];
  eachEndToEnd(raw, (name, value, original) => {
    if (name === api.FORWARD_HEADERS.requestId) return;
    if (form === "path" && ORIGIN_WIDE.has(name)) return;
    headers.push(original, name === "set-cookie" ? withoutDomain(value) : value);
  });
  headers.push(api.FORWARD_HEADERS.requestId, requestId);
  if (form === "path") headers.push("content-security-policy", PREVIEW_CSP);
  return headers;
}

/** A cookie with a Domain would be sent to every other sandbox's host as well. */
function withoutDomain(cookie: string): string {
  return cookie
    .split(";")
    .filter((part, index) => index === 0 || !/^\s*domain\s*(=|$)/i.test(part))
    .join(";");
}
