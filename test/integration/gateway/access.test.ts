import { api } from "@banyan/contracts";
import { eventually } from "@banyan/testkit";
import postgres from "postgres";
import { afterAll, beforeAll, expect, it } from "vitest";
import { BOOTSTRAP_KEY, type Cluster, caller, startCluster } from "./cluster.ts";

let cluster: Cluster;
let call: ReturnType<typeof caller>;
beforeAll(async () => {
  cluster = await startCluster();
  call = caller(cluster.url);
});
afterAll(() => cluster.stop());

let made = 0;
/** An organisation of its own, with the key of a member. */
async function organisation(quota?: object): Promise<{ id: string; name: string; key: string; keyId: string }> {
  const name = `org-${++made}`;
  const { status, body } = await call("POST", "/v1/organisations", { json: { name, ...(quota && { quota }) } });
  expect(status, JSON.stringify(body)).toBe(201);
  const key = await call("POST", "/v1/keys", { json: { name: "first", organisation: name } });
  expect(key.status).toBe(201);
  return { id: body.id, name, key: key.body.key, keyId: key.body.id };
}

const PROTECTED = [
  ["POST", "/v1/sandboxes"],
  ["GET", "/v1/sandboxes"],
  ["GET", "/v1/sandboxes/sbx_01k9aaaaaaaaaaaaaaaaaaaaaa"],
  ["PATCH", "/v1/sandboxes/sbx_01k9aaaaaaaaaaaaaaaaaaaaaa"],
  ["DELETE", "/v1/sandboxes/sbx_01k9aaaaaaaaaaaaaaaaaaaaaa"],
  ["POST", "/v1/sandboxes/sbx_01k9aaaaaaaaaaaaaaaaaaaaaa/start"],
  ["POST", "/v1/sandboxes/sbx_01k9aaaaaaaaaaaaaaaaaaaaaa/stop"],
  ["POST", "/v1/sandboxes/sbx_01k9aaaaaaaaaaaaaaaaaaaaaa/exec"],
  ["GET", "/v1/sandboxes/sbx_01k9aaaaaaaaaaaaaaaaaaaaaa/files/content?path=/etc/passwd"],
  ["GET", "/v1/sandboxes/sbx_01k9aaaaaaaaaaaaaaaaaaaaaa/ports/80/"],
  ["GET", "/v1/usage"],
  ["GET", "/v1/images"],
  ["GET", "/v1/nodes"],
  ["GET", "/v1/keys"],
  ["POST", "/v1/keys"],
  ["DELETE", "/v1/keys/key_1"],
  ["GET", "/v1/organisations"],
  ["POST", "/v1/organisations"],
  ["GET", "/v1/nothing"],
] as const;

it.each(PROTECTED)("%s %s needs a key", async (method, path) => {
  const without = await call(method, path, { key: null });
  expect(without).toMatchObject({ status: 401, body: { code: "auth.missing" } });
  expect(without.headers.get("www-authenticate")).toContain("Bearer");
  expect(await call(method, path, { key: "bny_wrong" })).toMatchObject({ status: 401, body: { code: "auth.invalid" } });
});

it("keeps only the hash of a key, and shows its secret once", async () => {
  const { status, body } = await call("POST", "/v1/keys", { json: { name: "ci" } });
  expect(status).toBe(201);
  expect(api.CreatedKey.strict().parse(body)).toEqual(body);
  expect(body.key).toMatch(/^bny_[A-Za-z0-9_-]{43}$/);
  expect((await call("GET", "/v1/usage", { key: body.key })).status).toBe(200);
  const listed = await call("GET", "/v1/keys");
  expect(listed.body.keys.map(({ id }: { id: string }) => id)).toContain(body.id);
  expect(JSON.stringify(listed.body)).not.toContain(body.key);
  const sql = postgres(cluster.gatewayConfig.databaseUrl, { max: 1 });
  const dump = JSON.stringify([await sql`select * from gateway.api_keys`, await sql`select * from gateway.idempotency_keys`]);
  await sql.end();
  expect(dump).not.toContain(body.key);
});

it("takes a revoked key from this gateway at once and from others by notice", async () => {
  const other = await cluster.anotherGateway();
  const { body } = await call("POST", "/v1/keys", { json: { name: "short-lived" } });
  const elsewhere = caller(other.url);
  expect((await elsewhere("GET", "/v1/usage", { key: body.key })).status).toBe(200);
  expect((await call("GET", "/v1/usage", { key: body.key })).status).toBe(200);
  const startedMs = performance.now();
  expect((await call("DELETE", `/v1/keys/${body.id}`)).status).toBe(204);
  expect(await call("GET", "/v1/usage", { key: body.key })).toMatchObject({ status: 401, body: { code: "auth.invalid" } });
  await eventually(async () => expect((await elsewhere("GET", "/v1/usage", { key: body.key })).status).toBe(401));
  // Well before what the other gateway remembers of the key would have ended by itself.
  expect(performance.now() - startedMs).toBeLessThan(4_000);
  expect((await call("DELETE", `/v1/keys/${body.id}`)).status).toBe(204);
  const listed = await call("GET", "/v1/keys");
  expect(listed.body.keys.find(({ id }: { id: string }) => id === body.id).revoked_at).not.toBeNull();
});

it("separates organisations: another one's sandbox does not exist", async () => {
  const [ours, theirs] = [await organisation(), await organisation()];
  const { body } = await call("POST", "/v1/sandboxes", { key: ours.key });
  const id = body.id as string;
  for (const [method, path] of [
    ["GET", ""],
    ["PATCH", ""],
    ["DELETE", ""],
    ["POST", "/stop"],
    ["POST", "/start"],
    ["POST", "/exec"],
    ["GET", "/files/content?path=/etc/passwd"],
    ["GET", "/ports/80/"],
    ["POST", "/ports/80/links"],
  ] as const) {
    const answer = await call(method, `/v1/sandboxes/${id}${path}`, { key: theirs.key, json: method === "GET" ? undefined : {} });
    expect(answer, `${method} ${path}`).toMatchObject({ status: 404, body: { code: "sandbox.not_found" } });
  }
  expect((await call("GET", "/v1/sandboxes", { key: theirs.key })).body.sandboxes).toEqual([]);
  expect((await call("GET", "/v1/sandboxes", { key: ours.key })).body.sandboxes).toHaveLength(1);
  expect(cluster.node.sandboxes.get(id)?.state).toBe("running");
});

it("keeps members from what is an admin's", async () => {
  const { key, keyId, id } = await organisation();
  const refused = { status: 403, body: { code: "auth.not_admin" } };
  expect(await call("GET", "/v1/nodes", { key })).toMatchObject(refused);
  expect(await call("GET", "/v1/organisations", { key })).toMatchObject(refused);
  expect(await call("POST", "/v1/organisations", { key, json: { name: "mine" } })).toMatchObject(refused);
  expect(await call("PATCH", `/v1/organisations/${id}`, { key, json: { quota: { cpu: 1e6 } } })).toMatchObject(refused);
  expect(await call("POST", "/v1/keys", { key, json: { name: "up", role: "admin" } })).toMatchObject(refused);
  expect(await call("POST", "/v1/keys", { key, json: { name: "over", organisation: "default" } })).toMatchObject(refused);
  expect(await call("GET", "/v1/keys?organisation=default", { key })).toMatchObject(refused);
  const bootstrap = (await call("GET", "/v1/keys")).body.keys.find(({ name }: { name: string }) => name === "bootstrap");
  expect(await call("DELETE", `/v1/keys/${bootstrap.id}`, { key })).toMatchObject({ status: 404, body: { code: "key.not_found" } });
  expect((await call("POST", "/v1/keys", { key, json: { name: "own" } })).status).toBe(201);
  expect((await call("DELETE", `/v1/keys/${keyId}`, { key })).status).toBe(204);
});

it("manages organisations by id and by name", async () => {
  const { id, name } = await organisation({ sandboxes: 3, cpu: 4.5, memory_mb: 100 });
  for (const ref of [id, name]) {
    const { body } = await call("GET", `/v1/organisations/${ref}`);
    expect(api.Organisation.strict().parse(body)).toMatchObject({ id, name, quota: { sandboxes: 3, cpu: 4.5, memory_mb: 100 } });
  }
  const changed = await call("PATCH", `/v1/organisations/${name}`, { json: { quota: { cpu: 8 } } });
  expect(changed).toMatchObject({ status: 200, body: { quota: { sandboxes: 3, cpu: 8, memory_mb: 100 } } });
  expect(await call("POST", "/v1/organisations", { json: { name } })).toMatchObject({ status: 409, body: { code: "organisation.exists" } });
  expect(await call("GET", "/v1/organisations/nobody")).toMatchObject({ status: 404, body: { code: "organisation.not_found" } });
  expect(await call("POST", "/v1/keys", { json: { name: "x", organisation: "nobody" } })).toMatchObject({ status: 404 });
  expect(await call("POST", "/v1/organisations", { json: { name: "Not A Name" } })).toMatchObject({ status: 422 });
  const names = (await call("GET", "/v1/organisations")).body.organisations.map((one: { name: string }) => one.name);
  expect(names).toEqual(expect.arrayContaining(["default", name]));
});

it("answers 429 beyond the quota, and lets on again after a delete or a larger quota", async () => {
  const { key, name } = await organisation({ sandboxes: 2, cpu: 10, memory_mb: 10_000 });
  const create = () => call("POST", "/v1/sandboxes", { key });
  const answers = await Promise.all([create(), create(), create(), create()]);
  const statuses = answers.map(({ status }) => status).toSorted();
  expect(statuses).toEqual([201, 201, 429, 429]);
  const refused = answers.find(({ status }) => status === 429);
  expect(refused?.body).toMatchObject({ code: "sandbox.quota_exceeded", retryable: true });
  const { id } = answers.find(({ status }) => status === 201)?.body ?? expect.fail();
  expect((await call("DELETE", `/v1/sandboxes/${id}`, { key })).status).toBe(204);
  expect((await create()).status).toBe(201);
  expect((await create()).status).toBe(429);
  await call("PATCH", `/v1/organisations/${name}`, { json: { quota: { sandboxes: 3 } } });
  expect((await create()).status).toBe(201);
});

it("counts cpu and memory of what runs only", async () => {
  const { key } = await organisation({ sandboxes: 10, cpu: 1.5, memory_mb: 2_048 });
  const create = (limits: object) => call("POST", "/v1/sandboxes", { key, json: { limits } });
  const first = await create({ cpu: 1 });
  expect(first.status).toBe(201);
  expect(await create({ cpu: 1 })).toMatchObject({ status: 429, body: { code: "sandbox.quota_exceeded" } });
  expect(await create({ cpu: 0.5, memory_mb: 2_000 })).toMatchObject({ status: 429 });
  await call("POST", `/v1/sandboxes/${first.body.id}/stop`, { key });
  expect((await create({ cpu: 1.5 })).status).toBe(201);
  expect(await call("POST", `/v1/sandboxes/${first.body.id}/start`, { key })).toMatchObject({ status: 429 });
});

it("notes when a key was used, and has the bootstrap key again after a start", async () => {
  const { body } = await call("POST", "/v1/keys", { json: { name: "used" } });
  const other = await cluster.anotherGateway();
  await caller(other.url)("GET", "/v1/usage", { key: body.key });
  await other.stop();
  const listed = await call("GET", "/v1/keys");
  expect(listed.body.keys.find(({ id }: { id: string }) => id === body.id).last_used_at).not.toBeNull();
  const bootstrap = listed.body.keys.find(({ name }: { name: string }) => name === "bootstrap");
  await call("DELETE", `/v1/keys/${bootstrap.id}`);
  expect((await call("GET", "/v1/usage")).status).toBe(401);
  const again = await cluster.anotherGateway({ bootstrapKey: BOOTSTRAP_KEY });
  expect((await caller(again.url)("GET", "/v1/usage")).status).toBe(200);
});
