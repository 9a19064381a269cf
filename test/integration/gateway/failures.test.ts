import { eventually } from "@banyan/testkit";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type Cluster, caller, startCluster } from "./cluster.ts";

let cluster: Cluster;
let call: ReturnType<typeof caller>;
beforeAll(async () => {
  cluster = await startCluster();
  call = caller(cluster.url);
});
afterAll(() => cluster.stop());

it("says plainly that the database is away, and works again when it is back", async () => {
  const { body } = await call("POST", "/v1/sandboxes");
  await cluster.postgres.pause();
  const startedMs = performance.now();
  const list = await call("GET", "/v1/keys");
  expect([401, 503]).toContain(list.status);
  expect(list).toMatchObject({ status: 503, body: { code: "database.unavailable", retryable: true } });
  expect(list.headers.get("retry-after")).not.toBeNull();
  // A key that is not in memory cannot be looked up: that is an absence, not a wrong key.
  expect(await call("GET", "/v1/usage", { key: "bny_unknown" })).toMatchObject({ status: 503, body: { code: "database.unavailable" } });
  expect((await call("POST", "/v1/sandboxes", { headers: { "idempotency-key": "away" } })).status).toBe(503);
  expect(performance.now() - startedMs).toBeLessThan(20_000);
  expect((await call("GET", "/healthz", { key: null })).status).toBe(200);
  await cluster.postgres.resume();
  await eventually(async () => expect((await call("GET", `/v1/sandboxes/${body.id}`)).status).toBe(200), { timeoutMs: 20_000 });
  await eventually(async () => expect((await call("POST", "/v1/sandboxes", { headers: { "idempotency-key": "away" } })).status).toBe(201), {
    timeoutMs: 20_000,
  });
}, 90_000);

it("says plainly that the bus is away, and works again when it is back", async () => {
  const { body } = await call("POST", "/v1/sandboxes");
  await cluster.nats.kill();
  const away = await call("GET", `/v1/sandboxes/${body.id}`);
  expect(away).toMatchObject({ status: 503, body: { code: "bus.unavailable", retryable: true } });
  expect((await call("GET", "/v1/keys")).status).toBe(200);
  // A revocation holds here even while the others cannot be told.
  const made = await call("POST", "/v1/keys", { json: { name: "told-later" } });
  expect((await call("DELETE", `/v1/keys/${made.body.id}`)).status).toBe(204);
  expect((await call("GET", "/v1/keys", { key: made.body.key })).status).toBe(401);
  await cluster.nats.restart();
  await eventually(async () => expect((await call("GET", `/v1/sandboxes/${body.id}`)).status).toBe(200), { timeoutMs: 20_000 });
}, 90_000);

it("is ready while both are there, and says what is missing when not", async () => {
  for (const check of Object.values(cluster.gateway.checks)) await expect(check()).resolves.toBeUndefined();
  await cluster.nats.kill();
  await eventually(async () => expect(cluster.gateway.checks.bus?.()).rejects.toThrow(/NATS/));
  await cluster.nats.restart();
  await eventually(async () => cluster.gateway.checks.bus?.(), { timeoutMs: 20_000 });
}, 60_000);

it("answers what is under way before it stops", async () => {
  const gate = Promise.withResolvers<null>();
  const other = await cluster.anotherGateway();
  await eventually(async () => expect((await call("POST", "/v1/sandboxes")).status).toBe(201), { timeoutMs: 20_000 });
  cluster.node.onStart = () => gate.promise;
  const orders = cluster.node.orders.length;
  const underWay = caller(other.url)("POST", "/v1/sandboxes");
  await eventually(async () => expect(cluster.node.orders.length).toBe(orders + 1));
  const stopped = other.stop();
  cluster.node.onStart = null;
  gate.resolve(null);
  expect((await underWay).status).toBe(201);
  await stopped;
  await expect(fetch(`${other.url}/healthz`)).rejects.toThrow();
});
