import { type Clock, type Logger, newId } from "@banyan/kernel";
import type { MiddlewareHandler } from "hono";
import type { HttpEnv } from "./context.ts";

const REQUEST_ID = /^[A-Za-z0-9_.-]{1,64}$/;

export interface HttpMetrics {
  observe(request: { method: string; status: number; durationMs: number }): void;
}

/** Gives every request its id, or keeps the caller's, and says at its end what came of it. */
export function observe({ logger, clock, metrics }: { logger: Logger; clock: Clock; metrics: HttpMetrics }): MiddlewareHandler<HttpEnv> {
  return async (c, next) => {
    const startedAt = clock.monotonicMs();
    const given = c.req.header("x-request-id");
    const requestId = given !== undefined && REQUEST_ID.test(given) ? given : newId("req");
    c.set("requestId", requestId);
    c.header("x-request-id", requestId);
    await next();
    const { method, path } = c.req;
    const durationMs = Math.round((clock.monotonicMs() - startedAt) * 1_000) / 1_000;
    const { status } = c.res;
    metrics.observe({ method, status, durationMs });
    // The path holds ids but never a secret; the query may, and stays out.
    logger.info({ requestId, method, path, status, durationMs, orgId: c.get("caller")?.orgId, keyId: c.get("caller")?.keyId }, "request");
  };
}
