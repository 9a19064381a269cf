import { api } from "@banyan/contracts";
import { idPattern } from "@banyan/kernel";

const SANDBOX_ID = idPattern("sbx");
const PORT_MAX = 65_535;

/** One place below `/v1/sandboxes/{id}/`, as the request line had it: nothing is decoded or normalised, so what is checked is what is sent. */
export interface SandboxPlace {
  sandboxId: string;
  segment: (typeof api.DATA_PLANE_SEGMENTS)[number];
  /** What follows the segment: empty, or starts with `/`. */
  rest: string;
  /** Empty, or starts with `?`. */
  query: string;
}

/** A port of a sandbox, and whether it was reached under the API's own origin (path) or one of its own (host). */
export interface PortPlace {
  sandboxId: string;
  port: number;
  form: "path" | "host";
  /** Starts with `/`. */
  rest: string;
  query: string;
}

const PLACE = new RegExp(`^/v1/sandboxes/([^/?]+)/(${api.DATA_PLANE_SEGMENTS.join("|")})(/[^?]*)?(\\?.*)?$`, "s");
/** Null where the URL is not below a sandbox's data plane. The id is not checked yet. */
export function parsePlace(url: string): SandboxPlace | null {
  const match = PLACE.exec(url);
  if (!match) return null;
  const [, sandboxId = "", segment = "", rest = "", query = ""] = match;
  return { sandboxId, segment: segment as SandboxPlace["segment"], rest, query };
}

export function isSandboxId(text: string): boolean {
  return SANDBOX_ID.test(text);
}

const PORT_REST = /^\/(\d{1,5})(\/.*)?$/s;
/** Null where the place names no port of a sandbox. */
export function portPlaceOf(place: SandboxPlace): PortPlace | null {
  if (place.segment !== "ports" || !isSandboxId(place.sandboxId)) return null;
  const match = PORT_REST.exec(place.rest);
  const port = Number(match?.[1]);
  if (!match || port < 1 || port > PORT_MAX) return null;
  return { sandboxId: place.sandboxId, port, form: "path", rest: match[2] ?? "/", query: place.query };
}

const HOST_LABEL = /^(\d{1,5})-(sbx)-([0-9a-hjkmnp-tv-z]{26})(?:[.:]|$)/;
/** `3000-sbx-01k….example.org`: an underscore is not legal in a host name, so the id is written with a hyphen. */
export function portPlaceOfHost(host: string | undefined, url: string): PortPlace | null {
  const match = host === undefined ? null : HOST_LABEL.exec(host.toLowerCase());
  const port = Number(match?.[1]);
  if (!match || port < 1 || port > PORT_MAX) return null;
  const mark = url.indexOf("?");
  const rest = mark < 0 ? url : url.slice(0, mark);
  return {
    sandboxId: `${match[2]}_${match[3]}`,
    port,
    form: "host",
    rest: rest.startsWith("/") ? rest : "/",
    query: mark < 0 ? "" : url.slice(mark),
  };
}

/** Where the browser sees this port: the scope of its cookie, and the prefix its application may need for links. */
export function prefixOf(place: PortPlace): string {
  return place.form === "host" ? "/" : `/v1/sandboxes/${place.sandboxId}/ports/${place.port}/`;
}

/** The query without the named parameters; the others stay byte for byte as they were. */
export function withoutParameters(query: string, ...names: string[]): string {
  if (query === "") return "";
  const kept = query
    .slice(1)
    .split("&")
    .filter((pair) => !names.includes(pair.split("=", 1)[0] ?? ""));
  return kept.length === 0 ? "" : `?${kept.join("&")}`;
}

export function parameter(query: string, name: string): string | undefined {
  return query === "" ? undefined : (new URLSearchParams(query).get(name) ?? undefined);
}
