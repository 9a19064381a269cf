import { fault, isFault } from "@banyan/contracts";
import { AppError, newId } from "@banyan/kernel";
import type { Context, Hono } from "hono";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import { z } from "zod";
import { fingerprint } from "../domain/fingerprint.ts";
import type { HttpEnv } from "./context.ts";
import { streamEvents } from "./event-stream.ts";
import type { Gateway } from "./gateway.ts";
import { once } from "./idempotency.ts";
import { invalid } from "./problems.ts";
import { readJson } from "./read-body.ts";
import { CALL_DEADLINE_MS, type Call, type Reply, type Route } from "./route.ts";

const NoQuery = z.strictObject({});

/** `/v1/sandboxes/{id}` as Hono writes it. */
export const honoPath = (path: string): string => path.replaceAll(/\{(\w+)\}/g, ":$1");

type AnyCall = Call<unknown, unknown>;

/** The one way from a request to a route's handler and back: who, what, once, answer. */
export function mount(app: Hono<HttpEnv>, route: Route, gateway: Gateway): void {
  app.on(route.method, honoPath(route.path), async (c) => {
    const caller = c.get("caller");
    if (route.access === "admin" && caller.role !== "admin") throw fault("auth.not_admin");
    const query = parse(route.query ?? NoQuery, readQuery(c, route.repeated), "query");
    const sent = route.body ? await readJson(c.req.raw, gateway.clock) : undefined;
    const body = route.body ? parse(route.body, sent, "body") : undefined;
    const call: AnyCall = {
      caller,
      params: c.req.param(),
      query,
      body,
      resourceId: route.makes ? newId(route.makes) : "",
      header: (name) => c.req.header(name),
      sink: null,
      gone: () => c.req.raw.signal,
    };
    const { lastEvent } = route;
    if (lastEvent !== undefined && (c.req.header("accept") ?? "").includes("text/event-stream")) {
      return streamEvents(c, gateway.logger, async (sink) => {
        const { reply } = await run(c, route, gateway, { ...call, sink, gone: () => sink.gone }, sent);
        await sink.say(lastEvent(reply), reply.body);
      });
    }
    const { reply, replayed } = await run(c, route, gateway, call, sent);
    if (replayed) c.header("idempotency-replayed", "true");
    return respond(c, gateway, reply);
  });
}

interface Ran {
  reply: Reply;
  replayed: boolean;
}

async function run(c: Context<HttpEnv>, route: Route, gateway: Gateway, call: AnyCall, sent: unknown): Promise<Ran> {
  try {
    const preparing = route.prepare?.(call, gateway) ?? null;
    if (preparing === null) return await settle(route, gateway, call, await runOnce(c, route, gateway, call, sent));
    const prepared = await preparing;
    if ("reply" in prepared) return { reply: prepared.reply, replayed: false };
    return await settle(route, gateway, call, await runOnce(c, route, gateway, { ...call, body: prepared.body }, sent));
  } catch (error) {
    if (route.missing === undefined || !isFault(error, route.missing)) throw error;
    const { code, message, details, cause } = error;
    throw new AppError({ kind: "not_found", code, message, details, cause });
  }
}

async function settle(route: Route, gateway: Gateway, call: AnyCall, ran: Ran): Promise<Ran> {
  return route.settle === undefined ? ran : { ...ran, reply: await route.settle(call, gateway, ran.reply) };
}

async function runOnce(c: Context<HttpEnv>, route: Route, gateway: Gateway, call: AnyCall, sent: unknown): Promise<Ran> {
  const key = route.method === "GET" || route.harmless ? undefined : c.req.header("idempotency-key");
  if (key === undefined) return { reply: await route.handle(call, gateway), replayed: false };
  const request = {
    key,
    organisationId: call.caller.orgId,
    fingerprint: fingerprint(route.method, c.req.path, without(sent, route.withheld)),
    resourceId: call.resourceId,
    deadlineMs: route.deadlineMs?.(call.body) ?? CALL_DEADLINE_MS,
    sealWith: route.secret ? (c.req.header("authorization") ?? "") : null,
  };
  return once(gateway, request, (resourceId) => route.handle({ ...call, resourceId }, gateway));
}

/** `remote.secrets` is the member of a member. */
function without(sent: unknown, names: readonly string[] = []): unknown {
  if (names.length === 0 || typeof sent !== "object" || sent === null) return sent;
  const kept = Object.entries(sent).filter(([name]) => !names.includes(name));
  return Object.fromEntries(kept.map(([name, member]) => [name, without(member, below(names, name))]));
}

const below = (names: readonly string[], parent: string): string[] =>
  names.filter((name) => name.startsWith(`${parent}.`)).map((name) => name.slice(parent.length + 1));

function respond(c: Context<HttpEnv>, { logger }: Gateway, { status, body, headers, events }: Reply): Response {
  for (const [name, value] of Object.entries(headers ?? {})) c.header(name, value);
  if (events !== undefined) return streamEvents(c, logger, events);
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
