import { openDatabase } from "@banyan/db";
import { newId, systemClock } from "@banyan/kernel";
import { eventually } from "@banyan/testkit";
import postgres from "postgres";
import { afterAll, beforeAll, expect, it } from "vitest";
import { purgeOldKeys } from "../../../services/gateway/src/loops/purge-idempotency-keys.ts";
import { type Answer, type Cluster, caller, startCluster } from "./cluster.ts";
import { startGatewayProcess } from "./gateway-process.ts";

let cluster: Cluster;
let call: ReturnType<typeof caller>;
let sql: postgres.Sql;
beforeAll(async () => {
  cluster = await startCluster();
  call = caller(cluster.url);
  sql = postgres(cluster.gatewayConfig.databaseUrl, { max: 1, connection: { search_path: "gateway" } });
});
afterAll(async () => {
  await sql.end();
  await cluster.stop();
});

const keyed = (key: string) => ({ headers: { "idempotency-key": key } });
const startsOf = (id: string) => cluster.node.orders.filter(({ sandboxId }) => sandboxId === id).length;
const held = () => cluster.node.sandboxes.size;

it("answers a repeat like the first, without doing it again", async () => {
  const key = newId("req");
  const first = await call("POST", "/v1/sandboxes", { ...keyed(key), json: { labels: { a: "1", b: "2" } } });
  const before = held();
  const repeat = await call("POST", "/v1/sandboxes", { ...keyed(key), raw: '{ "labels": {"b":"2", "a":"1"} }' });
  expect(repeat).toMatchObject({ status: 201, body: first.body });
  expect(first.headers.get("idempotency-replayed")).toBeNull();
  expect(repeat.headers.get("idempotency-replayed")).toBe("true");
  expect(held()).toBe(before);
  expect(startsOf(first.body.id)).toBe(1);
});

it("refuses the key for another request", async () => {
  const key = newId("req");
  await call("POST", "/v1/sandboxes", { ...keyed(key), json: {} });
  const other = await call("POST", "/v1/sandboxes", { ...keyed(key), json: { labels: { other: "yes" } } });
  expect(other).toMatchObject({ status: 409, body: { code: "request.idempotency_mismatch", retryable: false } });
  const elsewhere = await call("POST", "/v1/organisations", { ...keyed(key), json: { name: "elsewhere" } });
  expect(elsewhere).toMatchObject({ status: 409, body: { code: "request.idempotency_mismatch" } });
});

it("lets one of many at once through and tells the others to wait", async () => {
  const key = newId("req");
  const gate = Promise.withResolvers<null>();
  cluster.node.onStart = () => gate.promise;
  const before = held();
  const other = await cluster.anotherGateway();
  const losers: Answer[] = [];
  const underWay = Array.from({ length: 12 }, async (_, i) => {
    const answer = await (i % 2 ? call : caller(other.url))("POST", "/v1/sandboxes", keyed(key));
    if (answer.status !== 201) losers.push(answer);
    return answer;
  });
  await eventually(async () => expect(losers).toHaveLength(11));
  for (const loser of losers)
    expect(loser).toMatchObject({ status: 409, body: { code: "request.idempotency_in_progress", retryable: true } });
  expect(losers[0]?.body.retry_after_ms).toBeGreaterThan(0);
  gate.resolve(null);
  cluster.node.onStart = null;
  const answers = await Promise.all(underWay);
  expect(held()).toBe(before + 1);
  const winner = answers.find(({ status }) => status === 201);
  expect((await call("POST", "/v1/sandboxes", keyed(key))).body).toEqual(winner?.body);
});

it("takes over from a gateway that died, and finds the sandbox it had made", async () => {
  const key = newId("req");
  const first = await call("POST", "/v1/sandboxes", keyed(key));
  const { id } = first.body;
  const before = held();
  // What a gateway leaves that dies between the node's answer and the write of the reply.
  await sql`update idempotency_keys set status = null, body = null where key = ${key}`;
  expect(await call("POST", "/v1/sandboxes", keyed(key))).toMatchObject({ status: 409, body: { code: "request.idempotency_in_progress" } });
  await sql`update idempotency_keys set deadline_at = now() - interval '1 second' where key = ${key}`;
  const repeats = await Promise.all([call("POST", "/v1/sandboxes", keyed(key)), call("POST", "/v1/sandboxes", keyed(key))]);
  const found = repeats.find(({ status }) => status === 201);
  expect(found?.body).toMatchObject({ id, state: "running", epoch: 1 });
  expect(held()).toBe(before);
  expect(startsOf(id)).toBe(1);
  expect((await sql`select claim from idempotency_keys where key = ${key}`)[0]?.claim).toBe(2);
});

it("takes over from a gateway that died before anything was made, under the same id", async () => {
  const key = newId("req");
  const first = await call("POST", "/v1/organisations", { ...keyed(key), json: { name: `lost-${key.slice(-8)}` } });
  await sql`update idempotency_keys set status = null, body = null, deadline_at = now() - interval '1 second' where key = ${key}`;
  await sql`delete from organisations where id = ${first.body.id}`;
  const repeat = await call("POST", "/v1/organisations", { ...keyed(key), json: { name: `lost-${key.slice(-8)}` } });
  expect(repeat).toMatchObject({ status: 201, body: { id: first.body.id } });
});

it("starts afresh after a failure that had no effect", async () => {
  const key = newId("req");
  cluster.node.onStart = async () => ({ kind: "refused", reason: "no_slot", retryAfterMs: 10 });
  const refused = await call("POST", "/v1/sandboxes", { ...keyed(key), json: { wait_ms: 20 } });
  cluster.node.onStart = null;
  expect(refused).toMatchObject({ status: 503, body: { code: "node.no_slot" } });
  expect(await call("POST", "/v1/sandboxes", { ...keyed(key), json: { wait_ms: 20 } })).toMatchObject({ status: 201 });
});

it("goes on with the same id after a failure whose effect nobody knows", async () => {
  const key = newId("req");
  const json = { wait_ms: 1 };
  const gate = Promise.withResolvers<null>();
  cluster.node.onStart = () => gate.promise;
  // The gateway waits 5 s beyond `wait_ms`; the node answers later than that.
  const lost = await call("POST", "/v1/sandboxes", { ...keyed(key), json });
  cluster.node.onStart = null;
  gate.resolve(null);
  expect([503, 504]).toContain(lost.status);
  const [row] = await sql`select resource_id, status from idempotency_keys where key = ${key}`;
  if (lost.body.code === "bus.timeout") expect(row).toMatchObject({ status: null });
  const repeat = await eventually(
    async () => {
      const answer = await call("POST", "/v1/sandboxes", { ...keyed(key), json });
      expect(answer.status).toBe(201);
      return answer;
    },
    { timeoutMs: 30_000 },
  );
  if (row) expect(repeat.body.id).toBe(row.resource_id);
});

it("repeats the reply of a new key to who made it, and to nobody else", async () => {
  const key = newId("req");
  const first = await call("POST", "/v1/keys", { ...keyed(key), json: { name: "sealed" } });
  expect(await call("POST", "/v1/keys", { ...keyed(key), json: { name: "sealed" } })).toMatchObject({ status: 201, body: first.body });
  const [row] = await sql`select body, sealed from idempotency_keys where key = ${key}`;
  expect(row?.sealed).toBe(true);
  expect(row?.body).not.toContain(first.body.key);
  const colleague = await call("POST", "/v1/keys", { key: first.body.key, ...keyed(key), json: { name: "sealed" } });
  expect(colleague).toMatchObject({ status: 409, body: { code: "request.idempotency_mismatch" } });
});

it("gives a repeated key creation that died a secret that works", async () => {
  const key = newId("req");
  const first = await call("POST", "/v1/keys", { ...keyed(key), json: { name: "lost" } });
  await sql`update idempotency_keys set status = null, body = null, deadline_at = now() - interval '1 second' where key = ${key}`;
  const repeat = await call("POST", "/v1/keys", { ...keyed(key), json: { name: "lost" } });
  expect(repeat).toMatchObject({ status: 201, body: { id: first.body.id } });
  expect((await call("GET", "/v1/usage", { key: repeat.body.key })).status).toBe(200);
});

it("belongs to one organisation: another may use the same text", async () => {
  const key = newId("req");
  await call("POST", "/v1/organisations", { json: { name: "same-text" } });
  const other = await call("POST", "/v1/keys", { json: { name: "k", organisation: "same-text" } });
  const [ours, theirs] = [
    await call("POST", "/v1/sandboxes", keyed(key)),
    await call("POST", "/v1/sandboxes", { ...keyed(key), key: other.body.key }),
  ];
  expect([ours.status, theirs.status]).toEqual([201, 201]);
  expect(ours.body.id).not.toBe(theirs.body.id);
});

it("covers every other mutation too", async () => {
  const { body } = await call("POST", "/v1/sandboxes");
  const path = `/v1/sandboxes/${body.id}`;
  for (const [method, at, json] of [
    ["PATCH", path, { labels: { x: "1" } }],
    ["POST", `${path}/stop`, {}],
    ["POST", `${path}/start`, {}],
    ["DELETE", path, undefined],
  ] as const) {
    const key = newId("req");
    const first = await call(method, at, { ...keyed(key), json });
    expect(first.status, `${method} ${at}`).toBeLessThan(300);
    const repeat = await call(method, at, { ...keyed(key), json });
    expect(repeat).toMatchObject({ status: first.status, body: first.body });
    expect(repeat.headers.get("idempotency-replayed")).toBe("true");
  }
});

it("keeps no reply of a request that was wrong, and takes no odd keys", async () => {
  const key = newId("req");
  expect((await call("POST", "/v1/sandboxes", { ...keyed(key), json: { image: "nope" } })).status).toBe(422);
  expect((await call("POST", "/v1/sandboxes", { ...keyed(key), json: {} })).status).toBe(201);
  for (const odd of ["", "a b", "x".repeat(256)]) {
    expect(await call("POST", "/v1/sandboxes", keyed(odd))).toMatchObject({ status: 422, body: { code: "request.invalid" } });
  }
});

it("survives kill -9 of the gateway between request and reply: the repeat finds the one sandbox", async () => {
  const key = newId("req");
  const json = { wait_ms: 1_000 };
  const gate = Promise.withResolvers<null>();
  const other = await startGatewayProcess(cluster);
  const before = held();
  cluster.node.onStart = () => gate.promise;
  const orders = cluster.node.orders.length;
  const lost = caller(other.url)("POST", "/v1/sandboxes", { ...keyed(key), json }).catch((error: unknown) => error);
  await eventually(async () => expect(cluster.node.orders.length).toBe(orders + 1));
  await other.kill();
  expect(await lost).toBeInstanceOf(Error);
  cluster.node.onStart = null;
  gate.resolve(null);
  expect(await call("POST", "/v1/sandboxes", { ...keyed(key), json })).toMatchObject({
    status: 409,
    body: { code: "request.idempotency_in_progress" },
  });
  // The dead request's deadline: `wait_ms`, 5 s for the answer, 2 s beyond.
  const found = await eventually(
    async () => {
      const answer = await call("POST", "/v1/sandboxes", { ...keyed(key), json });
      expect(answer.status).toBe(201);
      return answer;
    },
    { timeoutMs: 20_000 },
  );
  expect(found.body.id).toBe(cluster.node.orders[orders]?.sandboxId);
  expect(held()).toBe(before + 1);
});

it("forgets keys after a day, and no earlier", async () => {
  const [old, young] = [newId("req"), newId("req")];
  for (const key of [old, young]) expect((await call("POST", "/v1/sandboxes", keyed(key))).status).toBe(201);
  await sql`update idempotency_keys set created_at = now() - interval '24 hours 1 minute' where key = ${old}`;
  await sql`update idempotency_keys set created_at = now() - interval '23 hours 59 minutes' where key = ${young}`;
  const db = await openDatabase({ url: cluster.gatewayConfig.databaseUrl, schema: "gateway", migrations: [] });
  await purgeOldKeys(db, systemClock);
  await db.close();
  const left = await sql<{ key: string }[]>`select key from idempotency_keys where key in ${sql([old, young])}`;
  expect(left.map(({ key }) => key)).toEqual([young]);
});
