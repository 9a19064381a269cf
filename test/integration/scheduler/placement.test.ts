import { CheckLayer, DEFAULT_RESOURCES, DeleteSandbox, fault, ListNodes } from "@banyan/contracts";
import { newId } from "@banyan/kernel";
import type { FakeNode } from "@banyan/testkit";
import { afterEach, beforeEach, expect, it } from "vitest";
import { clusterOfFile, codeOf, eventually, startWorld, type World } from "./harness.ts";

const cluster = clusterOfFile();
let world: World;

beforeEach(async () => {
  world = await startWorld(cluster);
});
afterEach(() => world.end());

async function nodes(...options: Parameters<World["addNode"]>[0][]): Promise<FakeNode[]> {
  const before = world.nodes.length;
  const added: FakeNode[] = [];
  for (const one of options) added.push(await world.addNode(one));
  await eventually(async () => expect((await world.bus.call(ListNodes, {})).nodes.length).toBeGreaterThanOrEqual(before + added.length));
  return added;
}
const big = (cpu: number) => ({ resources: { ...DEFAULT_RESOURCES, cpu } });

it("says that there is no node, and when to ask again", async () => {
  await expect(world.create()).rejects.toMatchObject({ code: "node.none_available", details: { retryAfterMs: expect.any(Number) } });
});

it("tells what fits on no node from what fits on none now", async () => {
  await nodes({ capacity: { cpu: 4 } });
  expect(await codeOf(world.create({ spec: big(8) }))).toBe("node.none_fits");
  await world.create({ spec: big(3) });
  expect(await codeOf(world.create({ spec: big(3) }))).toBe("node.none_available");
});

it("tries elsewhere when a node refuses or fails", async () => {
  const [first, second, third] = await nodes({}, {}, {});
  if (!first || !second || !third) throw new Error("no nodes");
  first.onStart = async () => ({ kind: "refused", reason: "capacity", retryAfterMs: 100 });
  second.onStart = async () => ({ kind: "refused", reason: "leaving", retryAfterMs: 100 });
  for (let i = 0; i < 10; i++) {
    const { sandbox } = await world.create();
    expect(sandbox).toMatchObject({ nodeId: third.nodeId, state: "running" });
    expect(await world.get(sandbox.id)).toEqual(sandbox);
  }
  expect(first.orders.length + second.orders.length).toBeGreaterThan(0);
});

it("goes on elsewhere when a node has gone without a word", async () => {
  const [gone, there] = await nodes({}, {});
  await gone?.vanish();
  for (let i = 0; i < 6; i++) expect((await world.create()).sandbox.nodeId).toBe(there?.nodeId);
});

it("answers node.none_available with the refusal's time when every node refuses, and leaves nothing", async () => {
  const added = await nodes({}, {});
  for (const node of added) node.onStart = async () => ({ kind: "refused", reason: "capacity", retryAfterMs: 3_000 });
  const id = newId("sbx");
  await expect(world.create({ id })).rejects.toMatchObject({ code: "node.none_available", details: { retryAfterMs: 3_000 } });
  expect((await world.list()).sandboxes).toEqual([]);
  expect(await codeOf(world.get(id))).toBe("sandbox.not_found");
  expect(await codeOf(world.create({ id }))).toBe("sandbox.start_failed");
});

it("has a layer looked into that its nodes could not have", async () => {
  const added = await nodes({}, {});
  const digest = `sha256:${"c".repeat(64)}`;
  for (const node of added) {
    node.onStart = async () => {
      throw fault("layer.unavailable", { digest });
    };
  }
  const checked: string[] = [];
  const checking = world.bus.consumeJobs(CheckLayer, async (input) => void checked.push(input.digest), { concurrencyMax: 1 });
  expect(await codeOf(world.create())).toBe("layer.unavailable");
  await eventually(async () => expect(checked).toContain(digest));
  await checking.stop();
});

it("finds the one free slot behind a view that is wrong", async () => {
  const [full, free] = await nodes({ slots: 0 }, { slots: 1 });
  if (!full || !free) throw new Error("no nodes");
  full.slotsClaimed = 50;
  await full.beat();
  const began = performance.now();
  expect((await world.create({ deadlineMs: 5_000 })).sandbox.nodeId).toBe(free.nodeId);
  expect(performance.now() - began).toBeLessThan(1_000);
});

it("waits for a slot within the deadline, and then says so", async () => {
  const [node] = await nodes({ slots: 1 });
  const first = await world.create();
  const began = performance.now();
  await expect(world.create({ deadlineMs: 300 })).rejects.toMatchObject({ code: "node.no_slot", details: { retryAfterMs: 200 } });
  expect(performance.now() - began).toBeGreaterThanOrEqual(295);
  const waiting = world.create({ deadlineMs: 5_000 });
  await eventually(() => expect(node?.orders.length).toBe(3));
  await world.remove(first.sandbox.id);
  const second = await waiting;
  expect(second).toMatchObject({ path: "cold", sandbox: { state: "running" } });
  expect(second.timing.queueMs).toBeGreaterThan(0);
});

it("spreads a burst over the nodes and promises none more than it has", async () => {
  const added = await nodes({ capacity: { cpu: 20 } }, { capacity: { cpu: 20 } }, { capacity: { cpu: 20 } });
  const codes = await Promise.all(Array.from({ length: 80 }, () => codeOf(world.create())));
  expect(codes.filter((code) => code === "no error")).toHaveLength(60);
  expect(codes.filter((code) => code === "node.none_available")).toHaveLength(20);
  expect(added.map(({ sandboxes }) => sandboxes.size)).toEqual([20, 20, 20]);
  // The view is right by itself: no node had to refuse.
  expect(added.map(({ orders }) => orders.length)).toEqual([20, 20, 20]);
});

it("lets a delete go before a create that waits for a slot", async () => {
  const [node] = await nodes({ slots: 0 });
  const id = newId("sbx");
  const creating = codeOf(world.create({ id, deadlineMs: 20_000 }));
  await eventually(() => expect(node?.orders.length).toBe(1));
  expect(await world.bus.call(DeleteSandbox, { orgId: world.orgId, id })).toEqual({ state: "deleted" });
  expect(await creating).toBe("sandbox.start_failed");
  expect(await codeOf(world.get(id))).toBe("sandbox.not_found");
});

it("starts a stopped sandbox only where its disk is", async () => {
  const added = await nodes({}, {});
  const { sandbox } = await world.create();
  await world.stopSandbox(sandbox.id);
  const home = added.find(({ nodeId }) => nodeId === sandbox.nodeId);
  if (!home) throw new Error("placed on no node");
  home.onStart = async () => ({ kind: "refused", reason: "no_slot", retryAfterMs: 700 });
  await expect(world.start(sandbox.id)).rejects.toMatchObject({ code: "node.no_slot", details: { retryAfterMs: 700 } });
  expect(await world.get(sandbox.id)).toMatchObject({ state: "stopped", stateReason: "node.no_slot", epoch: 2 });
  home.onStart = null;
  expect((await world.start(sandbox.id)).sandbox).toMatchObject({ state: "running", epoch: 3, nodeId: home.nodeId });
  await world.stopSandbox(sandbox.id);
  home.sandboxes.delete(sandbox.id);
  expect(await codeOf(world.start(sandbox.id))).toBe("sandbox.start_failed");
  expect(await world.get(sandbox.id)).toMatchObject({ state: "failed", stateReason: "disk_lost" });
});
