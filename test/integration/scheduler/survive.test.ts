import { GetUsage, ListNodes, RouteSandbox } from "@banyan/contracts";
import { newId } from "@banyan/kernel";
import type { FakeNode } from "@banyan/testkit";
import { afterEach, beforeEach, expect, it } from "vitest";
import { clusterOfFile, codeOf, eventually, startWorld, type World } from "./harness.ts";

const ANSWER_MAX_MS = 2_000;
const AWAY_MS = 10_000;
const cluster = clusterOfFile();
let world: World;
let node: FakeNode;

beforeEach(async () => {
  world = await startWorld(cluster);
  node = await world.addNode();
  await eventually(async () => expect((await world.bus.call(ListNodes, {})).nodes).toHaveLength(1));
});
afterEach(() => world.end());

const quickly = async (call: () => Promise<unknown>): Promise<string> => {
  const began = performance.now();
  const code = await codeOf(call());
  expect(performance.now() - began).toBeLessThan(ANSWER_MAX_MS);
  return code;
};

it("answers clearly and quickly while the database is away, and goes on after it", async () => {
  const { sandbox } = await world.create();
  await cluster.postgres.pause();
  const began = performance.now();
  while (performance.now() - began < AWAY_MS) {
    expect(await quickly(() => world.create())).toBe("database.unavailable");
    expect(await quickly(() => world.get(sandbox.id))).toBe("database.unavailable");
    expect(await quickly(() => world.list())).toBe("database.unavailable");
    expect(await quickly(() => world.stopSandbox(sandbox.id))).toBe("database.unavailable");
    expect(await quickly(() => world.remove(sandbox.id))).toBe("database.unavailable");
  }
  // What runs stays reachable: its route is remembered.
  expect((await world.bus.call(RouteSandbox, { orgId: world.orgId, id: sandbox.id })).nodeId).toBe(node.nodeId);
  await cluster.postgres.resume();
  await eventually(async () => expect((await world.get(sandbox.id)).state).toBe("running"));
  await eventually(() => expect([...node.sandboxes.keys()]).toEqual([sandbox.id]));
  expect((await world.list()).sandboxes.map(({ id }) => id)).toEqual([sandbox.id]);
  expect((await world.bus.call(GetUsage, { orgId: world.orgId })).usage.sandboxes).toBe(1);
  await eventually(async () => expect((await world.create()).sandbox.state).toBe("running"));
});

it("keeps its word when the database goes away between the row and the answer", async () => {
  node.onStart = async () => {
    await eventually(async () => expect(await world.sql`select 1 from sandboxes`).toHaveLength(1));
    await cluster.postgres.pause();
    return null;
  };
  const { sandbox } = await world.create();
  expect(sandbox.state).toBe("running");
  expect(await quickly(() => world.get(sandbox.id))).toBe("database.unavailable");
  await cluster.postgres.resume();
  // The first answer there is has waited for the write that was missing.
  const first = await eventually(() => world.list());
  expect(first.sandboxes).toMatchObject([{ id: sandbox.id, state: "running", version: 2 }]);
  expect(await world.rowState(sandbox.id)).toBe("running");
});

it("leaves nothing of a create whose row cannot be written while the node waits for a slot", async () => {
  await node.stop();
  const full = await world.addNode({ slots: 0 });
  await eventually(async () => expect((await world.bus.call(ListNodes, {})).nodes.filter(({ reachable }) => reachable)).toHaveLength(1));
  await cluster.postgres.pause();
  const id = newId("sbx");
  expect(await quickly(() => world.create({ id, deadlineMs: 20_000 }))).toBe("database.unavailable");
  await eventually(() => expect(full.deleted.get(id)).toBe(1));
  await cluster.postgres.resume();
  await eventually(async () => expect(await world.rowState(id)).toBeNull());
});

it("goes on after NATS was killed and started again", async () => {
  const { sandbox } = await world.create();
  await cluster.nats.kill();
  await cluster.nats.restart();
  await eventually(async () => expect((await world.get(sandbox.id)).state).toBe("running"));
  await eventually(async () => expect((await world.create()).sandbox.state).toBe("running"));
  await eventually(async () => expect(await world.sql`select 1 from outbox`).toHaveLength(0));
  expect(node.sandboxes.size).toBeGreaterThanOrEqual(2);
});

it("knows everything again after a restart", async () => {
  const { sandbox: runs } = await world.create();
  const { sandbox: rests } = await world.create();
  await world.stopSandbox(rests.id);
  const before = (await world.bus.call(GetUsage, { orgId: world.orgId })).usage;
  await world.stopScheduler();
  await world.startScheduler();
  expect((await world.bus.call(GetUsage, { orgId: world.orgId })).usage).toEqual(before);
  expect((await world.list()).sandboxes.map(({ id, state }) => [id, state])).toEqual([
    [rests.id, "stopped"],
    [runs.id, "running"],
  ]);
  expect((await world.start(rests.id)).sandbox).toMatchObject({ state: "running", epoch: 2 });
});
