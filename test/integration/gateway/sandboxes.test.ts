import { api } from "@banyan/contracts";
import { idPattern } from "@banyan/kernel";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type Answer, type Cluster, caller, startCluster } from "./cluster.ts";

let cluster: Cluster;
let call: ReturnType<typeof caller>;
beforeAll(async () => {
  cluster = await startCluster();
  call = caller(cluster.url);
});
afterAll(() => cluster.stop());

async function create(json: object = {}): Promise<Answer["body"]> {
  const { status, body } = await call("POST", "/v1/sandboxes", { json });
  expect(status, JSON.stringify(body)).toBe(201);
  return body;
}

it("makes a sandbox from nothing but a key, and says where the time went", async () => {
  const { status, body, headers } = await call("POST", "/v1/sandboxes");
  expect(status).toBe(201);
  expect(api.StartedSandbox.strict().parse(body)).toEqual(body);
  expect(body).toMatchObject({ state: "running", image: "default", path: "warm", epoch: 1, node_id: cluster.node.nodeId });
  expect(body.id).toMatch(idPattern("sbx"));
  expect(headers.get("server-timing")).toMatch(/queue;dur=[\d.]+, place;dur=[\d.]+, claim;dur=[\d.]+, attach;dur=[\d.]+/);
  expect(headers.get("x-request-id")).toMatch(idPattern("req"));
});

it("passes every setting on to the node, and shows them again without the environment", async () => {
  const settings = {
    name: "worker-1",
    env: { TOKEN: "secret" },
    labels: { task: "7", "team/x": "y" },
    limits: { cpu: 0.5, memory_mb: 256, pids: 64, disk_mb: 512 },
    hostname: "box",
    workdir: "/srv",
    user: "1000:1000",
    network: { egress: "allow", allow: ["1.2.3.4", "10.0.0.0/8"] },
    lifetime: { idle_timeout_s: null, max_lifetime_s: 3_600, on_idle: "delete", on_expiry: "stop" },
  };
  const made = await create(settings);
  const order = cluster.node.orders.findLast(({ sandboxId }) => sandboxId === made.id);
  expect(order).toMatchObject({
    env: { TOKEN: "secret" },
    resources: { cpu: 0.5, memoryMb: 256, pids: 64, diskMb: 512 },
    hostname: "box",
    workdir: "/srv",
    user: "1000:1000",
    network: settings.network,
  });
  const { body } = await call("GET", `/v1/sandboxes/${made.id}`);
  const { name, labels, limits, hostname, network, lifetime } = settings;
  expect(body).toMatchObject({ name, labels, limits, hostname, network, lifetime });
  expect(JSON.stringify(body)).not.toContain("secret");
  expect(Date.parse(body.expires_at) - Date.parse(body.created_at)).toBe(3_600_000);
});

it("stops, starts and deletes, and a deleted one is gone", async () => {
  const { id } = await create();
  const stopped = await call("POST", `/v1/sandboxes/${id}/stop`, { json: { grace_ms: 0 } });
  expect(stopped).toMatchObject({ status: 200, body: { state: "stopped" } });
  const started = await call("POST", `/v1/sandboxes/${id}/start`);
  expect(started).toMatchObject({ status: 200, body: { state: "running", epoch: 2, path: "warm" } });
  expect(await call("POST", `/v1/sandboxes/${id}/start`)).toMatchObject({ status: 409, body: { code: "sandbox.illegal_transition" } });
  expect((await call("DELETE", `/v1/sandboxes/${id}`)).status).toBe(204);
  expect(cluster.node.sandboxes.has(id)).toBe(false);
  expect((await call("DELETE", `/v1/sandboxes/${id}`)).status).toBe(204);
});

it("answers 202 to a delete while the node is away", async () => {
  const { id } = await create();
  await cluster.node.vanish();
  const answer = await call("DELETE", `/v1/sandboxes/${id}`);
  await cluster.node.comeBack();
  expect(answer).toMatchObject({ status: 202, body: { state: "deleting" } });
}, 60_000);

it("merges labels and lifetime", async () => {
  const { id } = await create({ labels: { keep: "1", drop: "2" } });
  const changes = { labels: { drop: null, add: "3" }, lifetime: { idle_timeout_s: 60 } };
  const { status, body } = await call("PATCH", `/v1/sandboxes/${id}`, { json: changes });
  expect(status).toBe(200);
  expect(body.labels).toEqual({ keep: "1", add: "3" });
  expect(body.lifetime).toMatchObject({ idle_timeout_s: 60, on_idle: "stop" });
});

it("lists by label and state, page by page, newest first", async () => {
  const label = `l${Date.now()}`;
  const made: string[] = [];
  for (let i = 0; i < 5; i++) made.push((await create({ labels: { [label]: "yes", nr: String(i) } })).id);
  await call("POST", `/v1/sandboxes/${made[0]}/stop`);
  const seen: string[] = [];
  let cursor = "";
  do {
    const { status, body } = await call("GET", `/v1/sandboxes?label=${label}%3Dyes&limit=2${cursor}`);
    expect(status).toBe(200);
    expect(body.sandboxes.length).toBeLessThanOrEqual(2);
    seen.push(...body.sandboxes.map(({ id }: { id: string }) => id));
    cursor = body.next_cursor === null ? "" : `&cursor=${body.next_cursor}`;
  } while (cursor !== "");
  expect(seen).toEqual(made.toReversed());
  const stopped = await call("GET", `/v1/sandboxes?label=${label}=yes&state=stopped&state=failed`);
  expect(stopped.body.sandboxes.map(({ id }: { id: string }) => id)).toEqual([made[0]]);
  const both = await call("GET", `/v1/sandboxes?label=${label}=yes&label=nr=3`);
  expect(both.body.sandboxes.map(({ id }: { id: string }) => id)).toEqual([made[3]]);
});

it("shows usage beside the quota, the nodes and the images", async () => {
  await create({ limits: { cpu: 2 } });
  const usage = await call("GET", "/v1/usage");
  expect(api.Usage.parse(usage.body)).toEqual(usage.body);
  expect(usage.body.organisation.name).toBe("default");
  expect(usage.body.usage.cpu).toBeGreaterThanOrEqual(2);
  const nodes = await call("GET", "/v1/nodes");
  expect(api.NodeList.parse(nodes.body)).toEqual(nodes.body);
  expect(nodes.body.nodes).toEqual([expect.objectContaining({ id: cluster.node.nodeId, reachable: true, state: "ready" })]);
  expect(JSON.stringify(nodes.body)).not.toContain("http://");
  const images = await call("GET", "/v1/images");
  expect(images.body.images).toEqual([expect.objectContaining({ names: ["default:latest"], state: "ready", size_bytes: 1_024 })]);
});

it("says when there is no slot, and when to try again", async () => {
  cluster.node.onStart = async () => ({ kind: "refused", reason: "no_slot", retryAfterMs: 1_500 });
  const { status, body, headers } = await call("POST", "/v1/sandboxes", { json: { wait_ms: 50 } });
  cluster.node.onStart = null;
  expect(status).toBe(503);
  expect(body).toMatchObject({ code: "node.no_slot", retryable: true });
  expect(Number(headers.get("retry-after"))).toBeGreaterThan(0);
});
