import type { Hono } from "hono";
import type { HttpEnv } from "./context.ts";
import { llmsText } from "./llms.ts";
import { openapi } from "./openapi.ts";
import type { RouteDescription } from "./route.ts";

/** What anyone may read without a key: an agent that knows only the base address finds its way from here. */
export function mountDocs(app: Hono<HttpEnv>, routes: readonly RouteDescription[], publicUrl: string): string[] {
  const document = JSON.stringify(openapi(routes, publicUrl));
  const text = llmsText(publicUrl);
  const index = {
    name: "Banyan",
    description: "A computer for an agent, in milliseconds.",
    api: `${publicUrl}/v1`,
    openapi: `${publicUrl}/openapi.json`,
    llms: `${publicUrl}/llms.txt`,
    health: `${publicUrl}/healthz`,
    authentication: "Authorization: Bearer <API key>",
  };
  app.get("/", (c) => c.json(index));
  app.get("/openapi.json", (c) => c.body(document, 200, { "content-type": "application/json" }));
  app.get("/llms.txt", (c) => c.body(text, 200, { "content-type": "text/plain; charset=utf-8" }));
  app.get("/healthz", (c) => c.json({ status: "ok" }));
  return ["/", "/openapi.json", "/llms.txt", "/healthz"];
}
