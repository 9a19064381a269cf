import { DeleteSandbox, ListNodes, NODE_LEASE_MS, RouteSandbox } from "@banyan/contracts";
import { newId } from "@banyan/kernel";
import type { FakeNode } from "@banyan/testkit";
import { afterEach, beforeEach, expect, it } from "vitest";
import { clusterOfFile, codeOf, eventually, type ShiftingClock, shiftingClock, startWorld, type World } from "./harness.ts";

const LOST_AFTER_MS = 60_000;
const cluster = clusterOfFile();
let world: World;
let clock: ShiftingClock;
let node: FakeNode;

beforeEach(async () => {
  clock = shiftingClock();
  world = await startWorld(cluster, { clock, scheduling: { nodeLostAfterMs: LOST_AFTER_MS } });
  node = await world.addNode();
  await reachable(true);
});
afterEach(() => world.end());

const reachable = (wanted: boolean) =>
  eventually(async () =>
    expect((await world.bus.call(ListNodes, {})).nodes.find(({ nodeId }) => nodeId === node.nodeId)?.reachable).toBe(wanted),
  );
const state = async (id: string) => {
  const { state, stateReason } = await world.get(id);
  return { state, stateReason };
};

it("marks a sandbox stopped when its slot died, and lets it start again", async () => {
  const { sandbox } = await world.create();
  await node.die(sandbox.id, "oom");
  await eventually(async () => expect(await state(sandbox.id)).toEqual({ state: "stopped", stateReason: "oom" }));
  expect((await world.start(sandbox.id)).sandbox.epoch).toBe(2);
});

it("finds out without the event that a slot died", async () => {
  const { sandbox } = await world.create();
  const there = node.sandboxes.get(sandbox.id);
  if (there) there.state = "stopped";
  await eventually(async () => expect(await state(sandbox.id)).toEqual({ state: "stopped", stateReason: "slot_lost" }));
});

it("ignores news of an earlier run", async () => {
  const { sandbox } = await world.create();
  const old = node.sandboxes.get(sandbox.id);
  await world.stopSandbox(sandbox.id);
  await world.start(sandbox.id);
  const now = node.sandboxes.get(sandbox.id);
  if (!old || !now) throw new Error("not on the node");
  now.epoch = 1;
  await node.die(sandbox.id, "late news");
  now.state = "running";
  now.epoch = 2;
  const { sandbox: other } = await world.create();
  await node.die(other.id);
  await eventually(async () => expect((await state(other.id)).state).toBe("stopped"));
  expect((await state(sandbox.id)).state).toBe("running");
});

it("marks a sandbox failed when its disk is gone", async () => {
  const { sandbox } = await world.create();
  node.sandboxes.delete(sandbox.id);
  await eventually(async () => expect(await state(sandbox.id)).toEqual({ state: "failed", stateReason: "disk_lost" }));
  expect(await world.remove(sandbox.id)).toEqual({ state: "deleted" });
});

it("deletes what nobody owns, after a while, and nothing else", async () => {
  const { sandbox } = await world.create();
  const orphan = newId("sbx");
  const owned = node.sandboxes.get(sandbox.id);
  if (!owned) throw new Error("not on the node");
  node.sandboxes.set(orphan, { ...owned, order: { ...owned.order, sandboxId: orphan } });
  await eventually(() => expect(node.deleted.has(orphan)).toBe(true));
  expect([...node.sandboxes.keys()]).toEqual([sandbox.id]);
});

it("stops what runs though its row says stopped", async () => {
  const { sandbox } = await world.create();
  await world.stopSandbox(sandbox.id);
  const there = node.sandboxes.get(sandbox.id);
  if (there) there.state = "running";
  await eventually(() => expect(there?.state).toBe("stopped"));
  expect((await state(sandbox.id)).state).toBe("stopped");
});

it("keeps the state of sandboxes on a node that does not answer, until it returns", async () => {
  const { sandbox } = await world.create();
  await node.vanish();
  clock.elapse(NODE_LEASE_MS);
  await reachable(false);
  expect((await state(sandbox.id)).state).toBe("running");
  expect(await codeOf(world.bus.call(RouteSandbox, { orgId: world.orgId, id: sandbox.id }))).toBe("node.unreachable");
  expect(await codeOf(world.create())).toBe("node.none_available");
  await node.comeBack();
  await reachable(true);
  expect((await state(sandbox.id)).state).toBe("running");
  expect((await world.bus.call(RouteSandbox, { orgId: world.orgId, id: sandbox.id })).nodeId).toBe(node.nodeId);
});

it("finds its sandboxes stopped when a node returns without its slots", async () => {
  const { sandbox } = await world.create();
  await node.vanish();
  clock.elapse(NODE_LEASE_MS);
  await reachable(false);
  await node.comeBack({ restarted: true });
  await eventually(async () => expect(await state(sandbox.id)).toEqual({ state: "stopped", stateReason: "slot_lost" }));
});

it("gives up a node that stays away, and takes its sandboxes back if it returns after all", async () => {
  const { sandbox: runs } = await world.create();
  const { sandbox: rests } = await world.create();
  await world.stopSandbox(rests.id);
  await node.vanish();
  clock.elapse(LOST_AFTER_MS);
  await eventually(async () => expect(await state(runs.id)).toEqual({ state: "failed", stateReason: "node_lost" }));
  expect((await state(rests.id)).state).toBe("stopped");
  await node.comeBack();
  await eventually(async () => expect(await state(runs.id)).toEqual({ state: "running", stateReason: null }));
});

it("answers deleting while the node is away, and finishes when it returns", async () => {
  const { sandbox } = await world.create();
  await node.vanish();
  clock.elapse(NODE_LEASE_MS);
  await reachable(false);
  expect(await world.remove(sandbox.id)).toEqual({ state: "deleting" });
  expect(await world.remove(sandbox.id)).toEqual({ state: "deleting" });
  expect((await state(sandbox.id)).state).toBe("deleting");
  await node.comeBack();
  await reachable(true);
  clock.age(20_000);
  await eventually(() => expect(node.sandboxes.has(sandbox.id)).toBe(false));
  await eventually(async () => expect(await codeOf(world.get(sandbox.id))).toBe("sandbox.not_found"));
});

it("does not wait for a lost node with a delete", async () => {
  const { sandbox } = await world.create();
  await node.vanish();
  clock.elapse(LOST_AFTER_MS);
  await reachable(false);
  await world.bus.call(DeleteSandbox, { orgId: world.orgId, id: sandbox.id });
  clock.age(20_000);
  await eventually(async () => expect(await world.rowState(sandbox.id)).toBe("deleted"));
  await node.comeBack();
  await eventually(() => expect(node.sandboxes.has(sandbox.id)).toBe(false));
});

it("finishes a stop that the node did not answer to", async () => {
  const { sandbox } = await world.create();
  await node.vanish();
  expect(await codeOf(world.stopSandbox(sandbox.id))).toBe("node.unreachable");
  expect((await state(sandbox.id)).state).toBe("stopping");
  await node.comeBack();
  clock.age(30_000);
  await eventually(async () => expect((await state(sandbox.id)).state).toBe("stopped"));
  expect(node.sandboxes.get(sandbox.id)?.state).toBe("stopped");
});

it("starts and deletes although the node has heard of a start whose row was never written", async () => {
  const { sandbox: starts } = await world.create();
  const { sandbox: goes } = await world.create();
  for (const { id } of [starts, goes]) {
    await world.stopSandbox(id);
    Object.assign(node.sandboxes.get(id) ?? {}, { epoch: 2 });
  }
  expect((await world.start(starts.id)).sandbox).toMatchObject({ state: "running", epoch: 3 });
  expect(await world.get(starts.id)).toMatchObject({ state: "running", epoch: 3 });
  expect(await world.remove(goes.id)).toEqual({ state: "deleted" });
  expect(node.sandboxes.has(goes.id)).toBe(false);
});
