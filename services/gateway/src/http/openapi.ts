import { api, ERRORS, type ErrorCode } from "@banyan/contracts";
import { z } from "zod";
import type { RouteDescription } from "./route.ts";

type Json = Record<string, unknown>;

const DESCRIPTION =
  "A computer for an agent in milliseconds. Every mutation takes `Idempotency-Key`; every failure is a problem document with a stable `code`, " +
  "whether to try again and when, and a `fix`. The short form for agents is /llms.txt.";
/** What every route may answer. */
const COMMON: readonly ErrorCode[] = ["auth.missing", "auth.invalid", "request.invalid", "bus.unavailable", "internal"];
const SCHEMAS = "#/components/schemas/";

/** OpenAPI 3.1, from the same objects that serve the routes. */
export function openapi(routes: readonly RouteDescription[], publicUrl: string): Json {
  const names = componentNames();
  const paths: Record<string, Json> = {};
  for (const route of routes) paths[route.path] = { ...paths[route.path], [route.method.toLowerCase()]: operation(route, names) };
  return {
    openapi: "3.1.0",
    info: { title: "Banyan", version: "1", description: DESCRIPTION, license: { name: "Apache-2.0", identifier: "Apache-2.0" } },
    servers: [{ url: publicUrl }],
    security: [{ key: [] }],
    tags: [...new Set(routes.map((route) => route.tag))].map((name) => ({ name })),
    paths,
    components: {
      securitySchemes: { key: { type: "http", scheme: "bearer", description: "An API key: `bny_…`." } },
      schemas: componentSchemas(names),
    },
  };
}

/** Every named schema of the public face is a component, but those of queries, which are parameters. */
function componentNames(): Map<z.ZodType, string> {
  const names = new Map<z.ZodType, string>();
  for (const [name, value] of Object.entries(api)) if (value instanceof z.ZodType && !name.endsWith("Query")) names.set(value, name);
  return names;
}

/** What is sent is described as it is sent, defaults optional; all else as it is answered. */
function componentSchemas(names: Map<z.ZodType, string>): Json {
  const schemas: Json = {};
  for (const io of ["input", "output"] as const) {
    const registry = z.registry<{ id: string }>();
    for (const [schema, id] of names) if (/(Body|Inputs?)$/.test(id) === (io === "input")) registry.add(schema, { id });
    const made = z.toJSONSchema(registry, { io, uri: (id) => `${SCHEMAS}${id}`, override });
    for (const [id, { $schema: _, $id: __, ...schema }] of Object.entries(made.schemas)) schemas[id] = schema;
  }
  return schemas;
}

/** Bounds that only say "a safe integer" tell a reader nothing; and a reply may gain fields. */
function override({ jsonSchema, zodSchema }: { jsonSchema: z.core.JSONSchema.BaseSchema; zodSchema: z.core.$ZodTypes }): void {
  if (jsonSchema.maximum === Number.MAX_SAFE_INTEGER) delete jsonSchema.maximum;
  if (jsonSchema.minimum === Number.MIN_SAFE_INTEGER) delete jsonSchema.minimum;
  const isOpenObject = zodSchema._zod.def.type === "object" && zodSchema._zod.def.catchall === undefined;
  if (isOpenObject && jsonSchema.additionalProperties === false) delete jsonSchema.additionalProperties;
}

function schemaOf(schema: z.ZodType, names: Map<z.ZodType, string>, io: "input" | "output"): Json {
  const name = names.get(schema);
  if (name !== undefined) return { $ref: `${SCHEMAS}${name}` };
  const { $schema: _, ...made } = z.toJSONSchema(schema, { io, override });
  return made;
}

function operation(route: RouteDescription, names: Map<z.ZodType, string>): Json {
  const body = requestBody(route, names);
  const admin = route.access === "admin" ? ["auth.not_admin" as const] : [];
  return {
    operationId: route.operationId,
    tags: [route.tag],
    summary: route.summary,
    ...(route.access === "open" && { security: [] }),
    parameters: [...pathParameters(route), ...queryParameters(route), ...headerParameters(route)],
    ...(body && { requestBody: body }),
    responses: { ...replies(route, names), ...problems([...COMMON, ...admin, ...route.errors], route.missing) },
  };
}

const parameter = (name: string, where: string, schema: Json, more: Json = {}): Json => ({ name, in: where, schema, ...more });

function pathParameters({ path }: RouteDescription): Json[] {
  return [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => parameter(name ?? "", "path", { type: "string" }, { required: true }));
}

function queryParameters({ query }: RouteDescription): Json[] {
  if (!query) return [];
  const { properties = {}, required = [] } = z.toJSONSchema(query, { io: "input", override });
  return Object.entries(properties).map(([name, schema]) => {
    const { description, ...rest } = schema as Json;
    return parameter(name, "query", rest, {
      ...(required.includes(name) && { required: true }),
      ...(description !== undefined && { description }),
    });
  });
}

function headerParameters({ method, path, headers = {} }: RouteDescription): Json[] {
  const own = Object.entries(headers).map(([name, description]) => parameter(name, "header", { type: "string" }, { description }));
  const mutates = method !== "GET" && method !== "HEAD" && !/\/(exec|processes|files|uploads|ports|contexts)\b/.test(path);
  if (!mutates) return own;
  const description = "A repeat of the same request with the same key gets the first one's reply. Kept for 24 hours.";
  return [parameter("Idempotency-Key", "header", { type: "string", maxLength: 255 }, { description }), ...own];
}

function requestBody({ body, bodyType }: RouteDescription, names: Map<z.ZodType, string>): Json | undefined {
  if (body) return { content: { "application/json": { schema: schemaOf(body, names, "input") } } };
  if (bodyType !== undefined) return { content: { [bodyType]: {} } };
  return undefined;
}

function replies(route: RouteDescription, names: Map<z.ZodType, string>): Json {
  const made: Json = {};
  for (const [status, { description, schema, type }] of Object.entries(route.replies)) {
    const content = {
      ...(schema && { "application/json": { schema: schemaOf(schema, names, "output") } }),
      ...(type !== undefined && { [type]: {} }),
    };
    made[status] = { description, ...(Object.keys(content).length > 0 && { content }) };
  }
  return made;
}

/** One response per status, naming the codes it may carry. */
function problems(codes: readonly ErrorCode[], missing: ErrorCode | undefined): Json {
  const byStatus = new Map<number, Set<ErrorCode>>();
  for (const code of codes) {
    const status = api.problemStatus(code, code === missing ? "not_found" : undefined);
    byStatus.set(status, (byStatus.get(status) ?? new Set()).add(code));
  }
  const content = { [api.PROBLEM_CONTENT_TYPE]: { schema: { $ref: `${SCHEMAS}Problem` } } };
  const made: Json = {};
  for (const [status, set] of byStatus) {
    made[status] = { description: [...set].map((code) => `\`${code}\`: ${ERRORS[code].message}`).join(" "), content };
  }
  return made;
}
