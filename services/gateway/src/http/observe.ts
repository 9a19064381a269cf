import { type Clock, type Logger, newId } from "@banyan/kernel";
import { type Histogram, withSpanFrom } from "@banyan/telemetry";
import type { MiddlewareHandler } from "hono";
import type { HttpEnv } from "./context.ts";

const REQUEST_ID = /^[A-Za-z0-9_.-]{1,64}$/;

export interface ObserveDeps {
  logger: Logger;
  clock: Clock;
  requests: Histogram;
}

/** Gives every request its id, or keeps the caller's, and says at its end what came of it. */
export function observe({ logger, clock, requests }: ObserveDeps): MiddlewareHandler<HttpEnv> {
  return async (c, next) => {
    const startedMs = clock.monotonicMs();
    const { method, path } = c.req;
    const given = c.req.header("x-request-id");
    const requestId = given !== undefined && REQUEST_ID.test(given) ? given : newId("req");
    c.set("requestId", requestId);
    c.header("x-request-id", requestId);
    await withSpanFrom(c.env.incoming.headers, `http ${method}`, { "url.path": path, "banyan.request_id": requestId }, next);
    const durationMs = Math.round((clock.monotonicMs() - startedMs) * 1_000) / 1_000;
    const { status } = c.res;
    requests.record(durationMs, { method, status });
    const caller = c.get("caller");
    // Written when the answer is out. The path holds ids but never a secret; the query may, and stays out.
    setImmediate(() => {
      logger.info({ requestId, method, path, status, durationMs, orgId: caller?.orgId, keyId: caller?.keyId }, "request");
    });
  };
}
