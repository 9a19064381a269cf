import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { newId } from "@banyan/kernel";
import { joinedEnvironment, readConfig, readJoinConfig } from "@banyan/runner-agent";
import { Banyan } from "@banyan/sdk";
import { eventually, type FakeNode, fakeNode } from "@banyan/testkit";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { BOOTSTRAP_KEY, CLUSTER_TOKEN, type Cluster, caller, startCluster } from "./cluster.ts";

const JOIN_NATS_URL = "nats://node:its-password@nats.test:4222";
const BLOBS = {
  endpoint: "https://s3.test",
  region: "eu-test-1",
  bucket: "blobs",
  prefix: "banyan/",
  accessKeyId: "an-access-key",
  secretAccessKey: "a-secret-key",
};
const CLI = fileURLToPath(new URL("../../../packages/cli/src/main.ts", import.meta.url));
const run = promisify(execFile);
let cluster: Cluster;
let ask: ReturnType<typeof caller>;
let member: string;

beforeAll(async () => {
  cluster = await startCluster();
  ask = caller(cluster.url);
  member = (await ask("POST", "/v1/keys", { json: { name: "no admin" } })).body.key;
});
afterAll(() => cluster?.stop());

describe("the nodes", () => {
  let second: FakeNode;

  beforeAll(async () => {
    second = await fakeNode({ bus: cluster.bus });
    await eventually(async () => expect((await ask("GET", "/v1/nodes")).body.nodes).toHaveLength(2));
  });
  afterAll(() => second?.stop());

  it("are an admin's", async () => {
    const id = second.nodeId;
    const calls = [
      ["GET", "/v1/nodes"],
      ["POST", `/v1/nodes/${id}/cordon`],
      ["POST", `/v1/nodes/${id}/uncordon`],
      ["POST", `/v1/nodes/${id}/drain`],
      ["DELETE", `/v1/nodes/${id}`],
      ["POST", "/v1/nodes/tokens"],
      ["GET", "/v1/nodes/tokens"],
      ["DELETE", `/v1/nodes/tokens/${newId("tok")}`],
    ] as const;
    for (const [method, path] of calls) expect(await ask(method, path, { key: member })).toMatchObject({ status: 403 });
  });

  it("are cordoned, drained and taken back", async () => {
    const { nodeId: id } = second;
    expect((await ask("POST", `/v1/nodes/${id}/cordon`)).body).toMatchObject({ id, cordoned: true, draining: null });
    expect((await ask("POST", `/v1/nodes/${id}/drain`, { json: { mode: "stop" } })).body).toEqual({
      node: expect.objectContaining({ id, cordoned: true, draining: "stop" }),
      left: 0,
      failed: [],
    });
    expect((await ask("GET", "/v1/nodes")).body.nodes.find((node: { id: string }) => node.id === id)).toMatchObject({ draining: "stop" });
    expect((await ask("POST", `/v1/nodes/${id}/uncordon`)).body).toMatchObject({ cordoned: false, draining: null });
  });

  it("are not found where there are none, and not removed while they hold something", async () => {
    for (const id of ["nobody", "not%20an%20id"]) {
      expect(await ask("POST", `/v1/nodes/${id}/cordon`)).toMatchObject({ status: 404, body: { code: "node.not_found" } });
      expect(await ask("POST", `/v1/nodes/${id}/drain`)).toMatchObject({ status: 404, body: { code: "node.not_found" } });
      expect(await ask("DELETE", `/v1/nodes/${id}?force=true`)).toMatchObject({ status: 404, body: { code: "node.not_found" } });
    }
    const banyan = new Banyan({ url: cluster.url, apiKey: BOOTSTRAP_KEY });
    const sandbox = await banyan.sandboxes.create();
    const held = (await sandbox.look()).nodeId ?? "";
    await expect(banyan.cluster.remove(held)).rejects.toMatchObject({ code: "node.in_use", details: { sandboxes: 1, reachable: true } });
    await sandbox.delete();
    expect(await ask("POST", `/v1/nodes/${held}/drain`, { json: { mode: "away" } })).toMatchObject({ status: 422 });
  });
});

describe("the command line", () => {
  const banyan = async (...args: string[]): Promise<string> => {
    const env = { PATH: process.env.PATH, BANYAN_URL: cluster.url, BANYAN_API_KEY: BOOTSTRAP_KEY };
    return (await run(process.execPath, [CLI, "node", ...args], { env })).stdout;
  };

  it("leads a node through its life", async () => {
    const node = await fakeNode({ bus: cluster.bus });
    const { nodeId: id } = node;
    await eventually(async () => expect(await banyan("ls")).toMatch(new RegExp(`${id} +ready `)));
    expect(await banyan("cordon", id)).toMatch(/ready,cordoned/);
    expect(await banyan("drain", id)).toBe(`${id} is empty\n`);
    expect(await banyan("ls")).toMatch(/ready,draining/);
    expect(JSON.parse(await banyan("uncordon", id, "--json"))).toMatchObject({ id, cordoned: false, draining: null });
    await node.stop();
    expect(await banyan("rm", id)).toBe(`${id}\n`);
    expect(await banyan("ls")).not.toContain(id);
    await expect(banyan("rm", id)).rejects.toMatchObject({ code: 1, stderr: expect.stringContaining("node.not_found") });
  });

  it("makes a token that is good for as long as was said", async () => {
    const token = JSON.parse(await banyan("token", "--ttl", "30m", "--uses", "3", "--json"));
    expect(token).toMatchObject({ token: expect.stringMatching(/^bnj_/), uses: 3, nodeId: null });
    expect(Math.round((Date.parse(token.expiresAt) - Date.now()) / 60_000)).toBeCloseTo(30, -1);
    expect(await banyan("token", "--node-id", "node-3")).toMatch(/^bnj_\S+\n/);
    await expect(banyan("token", "ls", "all")).rejects.toMatchObject({ code: 1 });
    await expect(banyan("token", "--ttl", "soon")).rejects.toMatchObject({ stderr: expect.stringContaining("Write a number") });
  });

  it("lists tokens without their secrets, and revokes them", async () => {
    const made = JSON.parse(await banyan("token", "--name", "rack 7", "--uses", "3", "--node-id", "node-7", "--json"));
    const other = JSON.parse(await banyan("token", "--json"));
    const listed = await banyan("token", "ls");
    expect(listed).toMatch(new RegExp(`^${made.id} +rack 7 +node-7 +3/3 +\\d+ s +good for \\d+ min$`, "m"));
    expect(listed).not.toContain(made.token);
    expect(await banyan("token", "rm", made.id)).toBe(`${made.id}\n`);
    const { token: _secret, ...shown } = other;
    const left = JSON.parse(await banyan("token", "ls", "--json")) as { id: string }[];
    expect(left.find(({ id }) => id === other.id)).toEqual(shown);
    expect(left.map(({ id }) => id)).not.toContain(made.id);
    await expect(banyan("token", "rm", made.id)).rejects.toMatchObject({ stderr: expect.stringContaining("node.token_not_found") });
  });
});

describe("a machine that joins", () => {
  let dataDir: string;
  let url: string;

  beforeAll(async () => {
    url = (await cluster.anotherGateway({ joinNatsUrl: JOIN_NATS_URL, blobs: BLOBS })).url;
  });
  beforeEach(() => {
    dataDir = mkdtempSync("/var/tmp/join-");
  });
  afterEach(() => rmSync(dataDir, { recursive: true, force: true }));

  const tokenOf = async (body: object = {}) => (await caller(url)("POST", "/v1/nodes/tokens", { json: body })).body.token as string;
  const joinWith = (token: string, nodeId?: string) =>
    caller(url)("POST", "/v1/nodes/join", { key: null, json: { token, ...(nodeId !== undefined && { node_id: nodeId }) } });
  const environmentOf = (environment: NodeJS.ProcessEnv) =>
    joinedEnvironment(readJoinConfig({ BANYAN_DATA_DIR: dataDir, BANYAN_GATEWAY_URL: url, ...environment }));

  it("gets what a node needs for a token, without an API key, as often as the token says", async () => {
    const token = await tokenOf({ uses: 2 });
    const answers = await Promise.all(Array.from({ length: 5 }, () => joinWith(token)));
    expect(answers.map(({ status }) => status).toSorted()).toEqual([200, 200, 401, 401, 401]);
    const good = answers.find(({ status }) => status === 200);
    expect(good?.body).toMatchObject({ node_id: null, nats_url: JOIN_NATS_URL, cluster_token: CLUSTER_TOKEN, blobs: { bucket: "blobs" } });
    expect(good?.headers.get("cache-control")).toBe("no-store");
    expect(answers.find(({ status }) => status === 401)?.body).toMatchObject({ code: "node.join_refused" });
  });

  it("is refused with a token that is unknown, expired, for another node, or no token at all", async () => {
    expect(await joinWith("bnj_unknown")).toMatchObject({ status: 401, body: { code: "node.join_refused" } });
    const bound = await tokenOf({ node_id: "node-7" });
    expect(await joinWith(bound, "node-8")).toMatchObject({ status: 401, body: { code: "node.join_refused" } });
    expect(await joinWith(bound)).toMatchObject({ status: 200, body: { node_id: "node-7" } });
    const expiring = await tokenOf({ ttl_s: 1, uses: 1_000 });
    await eventually(async () => expect(await joinWith(expiring)).toMatchObject({ status: 401 }));
    expect(await caller(url)("POST", "/v1/nodes/join", { key: null, json: {} })).toMatchObject({ status: 422 });
    expect(await caller(url)("POST", "/v1/nodes/tokens", { json: { uses: 0 } })).toMatchObject({ status: 422 });
    expect(await caller(url)("POST", "/v1/nodes/tokens", { json: { ttl_s: 1e9 } })).toMatchObject({ status: 422 });
  });

  it("is refused with a token that was revoked, while the others go on", async () => {
    const { cluster: nodes } = new Banyan({ url, apiKey: BOOTSTRAP_KEY });
    const [revoked, kept] = [await nodes.createNodeToken({ uses: 2 }), await nodes.createNodeToken({ uses: 2, name: "kept" })];
    for (const { token } of [revoked, kept]) expect(await joinWith(token)).toMatchObject({ status: 200 });
    expect((await nodes.nodeTokens()).slice(0, 2)).toEqual([
      expect.objectContaining({ id: kept.id, name: "kept", uses: 2, usesLeft: 1, nodeId: null, expiresAt: kept.expiresAt }),
      expect.objectContaining({ id: revoked.id, name: null, usesLeft: 1 }),
    ]);
    await nodes.revokeNodeToken(revoked.id);
    expect(await joinWith(revoked.token)).toMatchObject({ status: 401, body: { code: "node.join_refused" } });
    expect(await joinWith(kept.token)).toMatchObject({ status: 200 });
    const listed = await nodes.nodeTokens();
    expect(listed.find(({ id }) => id === kept.id)).toMatchObject({ usesLeft: 0 });
    expect(listed.map(({ id }) => id)).not.toContain(revoked.id);
    await expect(nodes.revokeNodeToken(revoked.id)).rejects.toMatchObject({ code: "node.token_not_found", details: { id: revoked.id } });
  });

  it("is told of tokens nothing that a machine could join with", async () => {
    const token = await tokenOf({ name: "shown once" });
    const { body } = await caller(url)("GET", "/v1/nodes/tokens");
    const seen = body.tokens.find(({ name }: { name: string }) => name === "shown once");
    expect(Object.keys(seen).toSorted()).toEqual(["created_at", "expires_at", "id", "name", "node_id", "uses", "uses_left"]);
    expect(JSON.stringify(body)).not.toContain(token.slice("bnj_".length));
    for (const name of ["", "x".repeat(64)]) {
      expect(await caller(url)("POST", "/v1/nodes/tokens", { json: { name } })).toMatchObject({ status: 422 });
    }
  });

  it("gets by a repeated request the token that the first one made, and one row of it", async () => {
    const headers = { "idempotency-key": newId("req") };
    const make = () => caller(url)("POST", "/v1/nodes/tokens", { json: { name: "once" }, headers });
    const [first, second] = [await make(), await make()];
    expect(second.body).toEqual(first.body);
    const { body } = await caller(url)("GET", "/v1/nodes/tokens");
    expect(body.tokens.filter(({ name }: { name: string }) => name === "once")).toHaveLength(1);
  });

  it("is told where a gateway takes no nodes", async () => {
    const { token } = (await ask("POST", "/v1/nodes/tokens", { json: {} })).body;
    const refused = await ask("POST", "/v1/nodes/join", { key: null, json: { token } });
    expect(refused).toMatchObject({
      status: 401,
      body: { code: "node.join_refused", detail: expect.stringContaining("BANYAN_JOIN_NATS_URL") },
    });
  });

  it("keeps what it was told for itself alone, and needs no token the next time", async () => {
    const token = await tokenOf({ node_id: "node-9" });
    const config = readConfig(await environmentOf({ BANYAN_JOIN_TOKEN: token }));
    expect(config).toMatchObject({ natsUrl: JOIN_NATS_URL, clusterToken: CLUSTER_TOKEN, blobs: BLOBS, node: { nodeId: "node-9" } });
    const file = join(dataDir, "cluster.json");
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(readFileSync(file, "utf8"), "what was used is not kept").not.toContain(token);
    for (const again of [{ BANYAN_JOIN_TOKEN: token }, {}, { BANYAN_GATEWAY_URL: "http://127.0.0.1:1" }]) {
      expect(readConfig(await environmentOf(again))).toMatchObject({ natsUrl: JOIN_NATS_URL, node: { nodeId: "node-9" } });
    }
    const another = readConfig(await environmentOf({ BANYAN_JOIN_TOKEN: await tokenOf({ node_id: "node-10" }) }));
    expect(another.node.nodeId).toBe("node-10");
  });

  it("says why it cannot join", async () => {
    await expect(environmentOf({})).rejects.toThrow(/BANYAN_JOIN_TOKEN/);
    await expect(environmentOf({ BANYAN_JOIN_TOKEN: "bnj_unknown" })).rejects.toMatchObject({ code: "node.join_refused" });
    await expect(environmentOf({ BANYAN_JOIN_TOKEN: "bnj_x", BANYAN_GATEWAY_URL: "http://127.0.0.1:1" })).rejects.toMatchObject({
      code: "bus.unavailable",
    });
  });

  it("is not asked where the environment names the cluster itself", async () => {
    const own = { BANYAN_CLUSTER_TOKEN: "a token of this test", NATS_URL: "nats://elsewhere:4222" };
    expect(readConfig(await environmentOf(own))).toMatchObject({ natsUrl: own.NATS_URL, clusterToken: own.BANYAN_CLUSTER_TOKEN });
  });
});
