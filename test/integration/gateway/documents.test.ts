import { afterAll, beforeAll, expect, it } from "vitest";
import { type Cluster, caller, startCluster } from "./cluster.ts";

let cluster: Cluster;
let call: ReturnType<typeof caller>;
beforeAll(async () => {
  cluster = await startCluster();
  call = caller(cluster.url);
});
afterAll(() => cluster.stop());

it("leads an agent that knows only the base address to everything", async () => {
  const { status, body } = await call("GET", "/", { key: null });
  expect(status).toBe(200);
  for (const address of [body.openapi, body.llms, body.health]) {
    expect(address.startsWith(cluster.url)).toBe(true);
    expect((await call("GET", address.slice(cluster.url.length), { key: null })).status, address).toBe(200);
  }
});

it("documents what it serves: every control route of the document answers something else than 404 or 405", async () => {
  const { body } = await call("GET", "/openapi.json", { key: null });
  expect(body).toMatchObject({ openapi: "3.1.0", servers: [{ url: cluster.url }] });
  const { id } = (await call("POST", "/v1/sandboxes")).body;
  for (const [path, operations] of Object.entries<Record<string, unknown>>(body.paths)) {
    if (/\/(exec|processes|files|ports|pty)\b/.test(path) || !path.startsWith("/v1/")) continue;
    for (const method of Object.keys(operations)) {
      const organisation = path.startsWith("/v1/organisations") ? "default" : id;
      const answer = await call(method.toUpperCase(), path.replace("{id}", path.startsWith("/v1/keys") ? "key_1" : organisation), {
        json: method === "get" || method === "head" ? undefined : { "not a field": 1 },
      });
      expect(["request.not_found", "request.method_not_allowed"], `${method} ${path}`).not.toContain(answer.body.code);
    }
  }
});

it("has a short text whose first call works as it is written", async () => {
  const { body, headers } = await call("GET", "/llms.txt", { key: null });
  expect(headers.get("content-type")).toContain("text/plain");
  expect(body.length).toBeLessThan(8_000);
  const [, json] = /-d '(\{"env".*\})'/.exec(body) ?? expect.fail("no example");
  expect((await call("POST", "/v1/sandboxes", { raw: json ?? "" })).status).toBe(201);
});
