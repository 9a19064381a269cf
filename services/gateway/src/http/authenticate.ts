import type { MiddlewareHandler } from "hono";
import type { Authenticator } from "../ports.ts";
import type { HttpEnv } from "./context.ts";

/** Everything below /v1 has a caller from here on. */
export function authenticate(authenticator: Authenticator): MiddlewareHandler<HttpEnv> {
  return async (c, next) => {
    c.set("caller", await authenticator.authenticate({ authorization: c.req.header("authorization"), apiKey: undefined }));
    await next();
  };
}
