import type { ErrorCode } from "@banyan/contracts";
import type { IdPrefix } from "@banyan/kernel";
import type { z } from "zod";
import type { Caller } from "../ports.ts";
import type { Gateway } from "./gateway.ts";

export type Method = "GET" | "POST" | "PUT" | "PATCH" | "DELETE";

/** What the OpenAPI document says of a route. */
export interface RouteDescription {
  method: Method;
  /** As OpenAPI writes it: `/v1/sandboxes/{id}`. */
  path: string;
  operationId: string;
  tag: string;
  summary: string;
  /** admin: only keys of that role. */
  access: "member" | "admin";
  query?: z.ZodType;
  body?: z.ZodType;
  /** Where it is not JSON. */
  bodyType?: string;
  replies: Record<number, { description: string; schema?: z.ZodType; type?: string }>;
  errors: readonly ErrorCode[];
}

/** What a route answers; plain, so that it can be kept for an Idempotency-Key. */
export interface Reply {
  status: 200 | 201 | 202 | 204;
  body?: unknown;
  headers?: Record<string, string>;
}

export interface Call<Query, Body> {
  caller: Caller;
  params: Record<string, string>;
  query: Query;
  body: Body;
  /** The id for what this call makes: the same when an Idempotency-Key is repeated. Empty where the route makes nothing. */
  resourceId: string;
}

/** One object per verb: where it is, what it takes, what it answers, and who does it. Registered and documented from the same place. */
export interface Route<Query extends z.ZodType = z.ZodType, Body extends z.ZodType = z.ZodType> extends RouteDescription {
  query?: Query;
  /** Query parameters that may be given more than once, and reach the schema as lists. */
  repeated?: readonly string[];
  body?: Body;
  /** The prefix of the id of what it makes. */
  makes?: IdPrefix;
  /** Whether its reply shows a secret, which is then kept sealed. */
  secret?: boolean;
  /** How long a call may take; after it an Idempotency-Key counts as left behind by a crash. Default: `CALL_DEADLINE_MS`. */
  deadlineMs?(body: z.output<Body>): number;
  handle(call: Call<z.output<Query>, z.output<Body>>, gateway: Gateway): Promise<Reply>;
}

export const CALL_DEADLINE_MS = 15_000;

/** Only infers: the schemas give the handler its types. */
export function route<Query extends z.ZodType, Body extends z.ZodType>(definition: Route<Query, Body>): Route {
  return definition;
}
