import type { HttpBindings } from "@hono/node-server";
import type { Caller } from "../ports.ts";

/** What the middleware leaves on Hono's context. */
export interface HttpEnv {
  Bindings: HttpBindings;
  Variables: { requestId: string; caller: Caller };
}
