import { fault } from "@banyan/contracts";
import { newId } from "@banyan/kernel";
import type { Context, Hono } from "hono";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import { z } from "zod";
import { fingerprint } from "../domain/fingerprint.ts";
import type { HttpEnv } from "./context.ts";
import type { Gateway } from "./gateway.ts";
import { once } from "./idempotency.ts";
import { invalid } from "./problems.ts";
import { readJson } from "./read-body.ts";
import { CALL_DEADLINE_MS, type Call, type Reply, type Route } from "./route.ts";

const NoQuery = z.strictObject({});

/** `/v1/sandboxes/{id}` as Hono writes it. */
export const honoPath = (path: string): string => path.replaceAll(/\{(\w+)\}/g, ":$1");

/** The one way from a request to a route's handler and back: who, what, once, answer. */
export function mount(app: Hono<HttpEnv>, route: Route, gateway: Gateway): void {
  app.on(route.method, honoPath(route.path), async (c) => {
    const caller = c.get("caller");
    if (route.access === "admin" && caller.role !== "admin") throw fault("auth.not_admin");
    const query = parse(route.query ?? NoQuery, readQuery(c, route.repeated), "query");
    const sent = route.body ? await readJson(c.req.raw, gateway.clock) : undefined;
    const body = route.body ? parse(route.body, sent, "body") : undefined;
    const call: Call<unknown, unknown> = { caller, params: c.req.param(), query, body, resourceId: route.makes ? newId(route.makes) : "" };
    return respond(c, await runOnce(c, route, gateway, call, sent));
  });
}

async function runOnce(c: Context<HttpEnv>, route: Route, gateway: Gateway, call: Call<unknown, unknown>, sent: unknown): Promise<Reply> {
  const key = route.method === "GET" ? undefined : c.req.header("idempotency-key");
  if (key === undefined) return route.handle(call, gateway);
  const request = {
    key,
    organisationId: call.caller.orgId,
    fingerprint: fingerprint(route.method, c.req.path, sent),
    resourceId: call.resourceId,
    deadlineMs: route.deadlineMs?.(call.body) ?? CALL_DEADLINE_MS,
    sealWith: route.secret ? (c.req.header("authorization") ?? "") : null,
  };
  const { reply, replayed } = await once(gateway, request, (resourceId) => route.handle({ ...call, resourceId }, gateway));
  if (replayed) c.header("idempotency-replayed", "true");
  return reply;
}

function respond(c: Context<HttpEnv>, { status, body, headers }: Reply): Response {
  for (const [name, value] of Object.entries(headers ?? {})) c.header(name, value);
  if (body === undefined) return c.body(null, status as 204);
  return c.json(body, status as ContentfulStatusCode);
}

function parse(schema: z.ZodType, value: unknown, where: "body" | "query"): unknown {
  const parsed = schema.safeParse(value);
  if (!parsed.success) throw invalid(parsed.error, where);
  return parsed.data;
}

/** A parameter given twice reaches the schema as a list, which only those that may be repeated accept. */
function readQuery(c: Context<HttpEnv>, repeated: readonly string[] = []): Record<string, string | string[] | undefined> {
  const query: Record<string, string | string[] | undefined> = {};
  for (const [name, values] of Object.entries(c.req.queries())) {
    query[name] = repeated.includes(name) || values.length > 1 ? values : values[0];
  }
  return query;
}
