import type { ErrorCode } from "@banyan/contracts";
import type { IdPrefix } from "@banyan/kernel";
import type { z } from "zod";
import type { Caller } from "../ports.ts";
import type { Gateway } from "./gateway.ts";

export type Method = "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE";

/** What the OpenAPI document says of a route. */
export interface RouteDescription {
  method: Method;
  /** As OpenAPI writes it: `/v1/sandboxes/{id}`. */
  path: string;
  operationId: string;
  tag: string;
  summary: string;
  /** admin: only keys of that role; open: no key at all. */
  access: "member" | "admin" | "open";
  query?: z.ZodType;
  body?: z.ZodType;
  /** Where it is not JSON. */
  bodyType?: string;
  /** Headers it heeds beyond those that all do, each with what it says. */
  headers?: Record<string, string>;
  replies: Record<number, { description: string; schema?: z.ZodType; type?: string }>;
  errors: readonly ErrorCode[];
  /** The error that says that what the path names is not there: answered 404, whatever it is elsewhere. */
  missing?: ErrorCode;
}

/** What a route answers; plain, so that it can be kept for an Idempotency-Key. */
export interface Reply {
  status: 200 | 201 | 202 | 204;
  body?: unknown;
  headers?: Record<string, string>;
  /** In place of a body: says events until it resolves. */
  events?(sink: EventSink): Promise<void>;
}

/** Where a call's events go: a `text/event-stream`. */
export interface EventSink {
  say(event: string, data: unknown, id?: number): Promise<void>;
  /** Nothing happens, and whoever is between us and the client should know that we are there. */
  alive(): Promise<void>;
  /** Aborts when nobody hears it any more. */
  readonly gone: AbortSignal;
}

export interface Call<Query, Body> {
  caller: Caller;
  params: Record<string, string>;
  query: Query;
  body: Body;
  /** The id for what this call makes: the same when an Idempotency-Key is repeated. Empty where the route makes nothing. */
  resourceId: string;
  header(name: string): string | undefined;
  /** Where the caller hears how it goes on; null unless the route streams and was asked to. */
  sink: EventSink | null;
  /** Aborts when the client goes away. A method: most calls never ask, and to make one costs. */
  gone(): AbortSignal;
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
  /** A repeat does no harm by itself, so no Idempotency-Key is looked at, and nothing of the call is kept. */
  harmless?: boolean;
  /** Members of the body, `a` or `a.b`, that no fingerprint of it may be made from. */
  withheld?: readonly string[];
  /** With `Accept: text/event-stream` its way is told as events, and at last its reply as the event of this name. */
  lastEvent?(reply: Reply): string;
  /** How long a call may take; after it an Idempotency-Key counts as left behind by a crash. Default: `CALL_DEADLINE_MS`. */
  deadlineMs?(body: z.output<Body>): number;
  /** What may take long and has an identity of its own, so that no key needs to be held meanwhile. Null: there is nothing to do before. */
  prepare?(call: Call<z.output<Query>, z.output<Body>>, gateway: Gateway): Promise<Prepared<z.output<Body>>> | null;
  handle(call: Call<z.output<Query>, z.output<Body>>, gateway: Gateway): Promise<Reply>;
  /** What may take long once it is done and its reply is kept for the key: a repeat waits too. Answers the reply that is given. */
  settle?(call: Call<z.output<Query>, z.output<Body>>, gateway: Gateway, reply: Reply): Promise<Reply>;
}

/** The body to go on with, or the reply that it ends with. */
export type Prepared<Body> = { body: Body } | { reply: Reply };

export const CALL_DEADLINE_MS = 15_000;

/** Only infers: the schemas give the handler its types. */
export function route<Query extends z.ZodType, Body extends z.ZodType>(definition: Route<Query, Body>): Route {
  return definition;
}
