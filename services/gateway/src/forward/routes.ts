import { api, fault } from "@banyan/contracts";
import type { HttpBindings } from "@hono/node-server";
import { type Context, Hono } from "hono";
import type { z } from "zod";
import type { Caller } from "../ports.ts";
import { forwardDiff } from "./diff.ts";
import { alreadySent, type ForwardDeps, forward } from "./forward.ts";
import { operationHeaders, replyHeaders } from "./headers.ts";
import { linkSigner, linkUrls } from "./links.ts";
import { forwardPort } from "./preview.ts";
import { isSandboxId, type PortPlace, parsePlace, portPlaceOf, type SandboxPlace, withoutParameters } from "./target.ts";

/** What the gateway's own middleware has put there: who asks, and the request's id. */
export interface ForwardEnv {
  Bindings: HttpBindings;
  Variables: { caller: Caller; requestId: string };
}

const LINK_BODY_BYTES_MAX = 1_024;

/** The data plane below `/v1/sandboxes`: `/{id}/{exec,processes,pty,files,ports}/…`. */
export function forwardRoutes(deps: ForwardDeps): Hono<ForwardEnv> {
  const app = new Hono<ForwardEnv>();
  const signer = linkSigner(deps.clusterToken);

  app.post("/:id/ports/:port/links", async (c, next) => {
    const place = placeOf(c);
    const port = portPlaceOf(place);
    if (port?.rest !== "/links") return next();
    return c.json(await createLink(c, port));
  });
  app.get("/:id/diff", (c) => forwardDiff(deps, c));
  for (const segment of api.DATA_PLANE_SEGMENTS) {
    app.all(`/:id/${segment}`, pass);
    app.all(`/:id/${segment}/*`, pass);
  }
  return app;

  async function pass(c: Context<ForwardEnv>): Promise<Response> {
    const place = placeOf(c);
    const { incoming, outgoing } = c.env;
    if (place.segment === "ports") {
      const port = portPlaceOf(place);
      if (!port) throw fault("request.invalid", { issues: [{ path: "port", message: "a port is a number from 1 to 65535" }] });
      return forwardPort(deps, {
        place: port,
        orgId: c.get("caller").orgId,
        byLink: false,
        incoming,
        outgoing,
        requestId: c.get("requestId"),
      });
    }
    const status = await forward(deps, {
      incoming,
      outgoing,
      orgId: c.get("caller").orgId,
      sandboxId: place.sandboxId,
      requestId: c.get("requestId"),
      path: `/${place.segment}${place.rest}${withoutParameters(place.query, "api_key")}`,
      headers: operationHeaders(incoming.rawHeaders),
      reply: (raw) => replyHeaders(raw, c.get("requestId")),
    });
    return alreadySent(status);
  }

  async function createLink(c: Context<ForwardEnv>, place: PortPlace): Promise<api.Link> {
    const { orgId } = c.get("caller");
    const { ttl_s } = await readLinkBody(c);
    await deps.routes.find(orgId, place.sandboxId);
    const expiresAtS = Math.floor(deps.clock.now() / 1000) + ttl_s;
    const token = signer.sign({ sandboxId: place.sandboxId, port: place.port, orgId, expiresAtS });
    return { ...linkUrls(deps.publicUrl, place, token), token, expires_at: new Date(expiresAtS * 1000).toISOString() };
  }
}

/** The URL as the client wrote it, not as a parser would tidy it. */
function placeOf(c: Context<ForwardEnv>): SandboxPlace {
  const place = parsePlace(c.env.incoming.url ?? "");
  if (!place) throw fault("request.not_found");
  if (!isSandboxId(place.sandboxId)) throw fault("sandbox.not_found", { sandboxId: place.sandboxId.slice(0, 64) });
  return place;
}

async function readLinkBody(c: Context<ForwardEnv>): Promise<z.infer<typeof api.CreateLinkBody>> {
  const declared = Number(c.req.header("content-length") ?? 0);
  if (declared > LINK_BODY_BYTES_MAX) throw fault("request.too_large", { maxBytes: LINK_BODY_BYTES_MAX });
  const text = await c.req.text();
  let body: unknown = {};
  try {
    if (text !== "") body = JSON.parse(text);
  } catch (cause) {
    throw fault("request.malformed_json", {}, { cause });
  }
  const parsed = api.CreateLinkBody.safeParse(body);
  if (!parsed.success)
    throw fault("request.invalid", { issues: parsed.error.issues.map(({ path, message }) => ({ path: path.join("."), message })) });
  return parsed.data;
}
