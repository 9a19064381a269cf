import { fault, ListNodes, NODE_LEASE_MS } from "@banyan/contracts";
import { type FakeNode, outcome } from "@banyan/testkit";
import { afterEach, beforeEach, expect, it } from "vitest";
import { childrenOf, command, ended, eventsOf, fork, getFork, heldBy, sandboxStates } from "./fork-harness.ts";
import { clusterOfFile, eventually, readyNodes, type ShiftingClock, shiftingClock, startWorld, type World } from "./harness.ts";

const LOST_AFTER_MS = 60_000;
const SMALL = { cpu: 0.1, memoryMb: 64, pids: 16, diskMb: 16 };
const cluster = clusterOfFile();
let world: World;
let clock: ShiftingClock;

beforeEach(async () => {
  clock = shiftingClock();
  world = await startWorld(cluster, { clock, scheduling: { nodeLostAfterMs: LOST_AFTER_MS } });
});
afterEach(() => world.end());

const ranOnce = (nodes: readonly FakeNode[], count: number): void => {
  const ran = nodes.flatMap(({ forks }) => forks.ran);
  expect(ran).toHaveLength(count);
  expect(new Set(ran).size).toBe(count);
};
const reachable = (nodes: readonly FakeNode[], wanted: boolean) =>
  eventually(async () => {
    const views = (await world.bus.call(ListNodes, {})).nodes;
    for (const { nodeId } of nodes) expect(views.find((view) => view.nodeId === nodeId)?.reachable).toBe(wanted);
  });

it("sends again what was not answered, and runs nothing twice", async () => {
  const nodes = await readyNodes(world, 2);
  const gate = Promise.withResolvers<void>();
  for (const node of nodes) {
    node.forks.outcomeOf = () => gate.promise.then(() => outcome(0));
    node.forks.onBatchDone = async () => {
      if (node.forks.batches.length < 3) throw fault("bus.timeout");
    };
  }
  const { id } = await fork(world, { count: 200, command: command(), after: "keep", spread: "spread", resources: SMALL });
  await eventually(async () => expect((await getFork(world, id)).counts.running).toBe(200));
  for (const { forks } of nodes) {
    expect(forks.batches).toHaveLength(3);
    expect(forks.batches[2]?.children).toEqual(forks.batches[0]?.children);
  }
  gate.resolve();
  expect(await ended(world, id)).toMatchObject({ state: "done", counts: { succeeded: 200 } });
  ranOnce(nodes, 200);
});

it("goes on after a restart of the scheduler between plan and answer", async () => {
  const nodes = await readyNodes(world, 4);
  const gate = Promise.withResolvers<void>();
  for (const node of nodes.slice(0, 2))
    node.forks.onBatch = async () => {
      await gate.promise;
      return null;
    };
  const { id } = await fork(world, { count: 400, command: command(), spread: "spread", resources: SMALL });
  await eventually(async () => expect((await getFork(world, id)).counts).toMatchObject({ succeeded: 200, starting: 200 }));
  await world.stopScheduler();
  gate.resolve();
  await world.startScheduler();
  expect(await ended(world, id)).toMatchObject({ state: "done", counts: { succeeded: 400 } });
  ranOnce(nodes, 400);
  expect((await childrenOf(world, id)).every(({ attempts }) => attempts === 1)).toBe(true);
  const events = await eventsOf(world, id);
  expect(events.map(({ seq }) => seq)).toEqual(events.map((_, at) => at + 1));
});

it("hears of what ended while it was away", async () => {
  const [node] = await readyNodes(world, 1);
  if (!node) throw new Error("no node");
  const gate = Promise.withResolvers<void>();
  node.forks.outcomeOf = () => gate.promise.then(() => outcome(0));
  const { id } = await fork(world, { count: 10, command: command(), after: "delete" });
  await eventually(async () => expect((await getFork(world, id)).counts.running).toBe(10));
  await world.stopScheduler();
  gate.resolve();
  await eventually(() => expect(node.sandboxes.size).toBe(0));
  await world.startScheduler();
  expect(await ended(world, id)).toMatchObject({ state: "done", counts: { succeeded: 10 } });
  expect(await sandboxStates(world, id)).toEqual({ deleted: 10 });
});

it("makes children of a lost node again elsewhere, and deletes the first ones if it returns", async () => {
  const [gone, other] = await readyNodes(world, 2);
  if (!gone || !other) throw new Error("no nodes");
  for (const node of [gone, other]) node.forks.outcomeOf = () => "never";
  const { id } = await fork(world, { count: 10, command: command(), spread: "spread", retries: 1 });
  await eventually(async () => expect((await getFork(world, id)).counts.running).toBe(10));
  await gone.vanish();
  other.forks.outcomeOf = () => outcome(0);
  clock.elapse(LOST_AFTER_MS);
  await other.beat();
  await eventually(async () => expect((await getFork(world, id)).counts).toMatchObject({ succeeded: 5, running: 5, lost: 0 }), {
    timeoutMs: 30_000,
  });
  const again = (await childrenOf(world, id)).filter(({ attempts }) => attempts === 2);
  expect(again).toHaveLength(5);
  expect(again.every(({ nodeId, state }) => nodeId === other.nodeId && state === "succeeded")).toBe(true);
  await gone.comeBack();
  await eventually(() => expect(gone.sandboxes.size).toBe(0), { timeoutMs: 30_000 });
});

it("says which children are lost where they may not be made again", async () => {
  const [gone, other] = await readyNodes(world, 2);
  if (!gone || !other) throw new Error("no nodes");
  for (const node of [gone, other]) node.forks.outcomeOf = ({ index }) => (index < 0 ? null : "never");
  other.forks.outcomeOf = () => outcome(0);
  const { id } = await fork(world, { count: 10, command: command(), spread: "spread", retries: 0 });
  await eventually(async () => expect((await getFork(world, id)).counts).toMatchObject({ running: 5, succeeded: 5 }));
  await gone.vanish();
  clock.elapse(LOST_AFTER_MS);
  await other.beat();
  expect(await ended(world, id)).toMatchObject({ state: "done", counts: { succeeded: 5, lost: 5 } });
  expect(await childrenOf(world, id, ["lost"])).toMatchObject(Array.from({ length: 5 }, () => ({ error: { code: "node.lost" } })));
  expect(await sandboxStates(world, id)).toEqual({ running: 5, failed: 5 });
});

it("waits for a node that is away for a moment, and makes nothing elsewhere", async () => {
  const [node, other] = await readyNodes(world, 2);
  if (!node || !other) throw new Error("no nodes");
  for (const one of [node, other]) one.forks.outcomeOf = () => "never";
  const { id } = await fork(world, { count: 10, command: command(), spread: "spread" });
  await eventually(async () => expect((await getFork(world, id)).counts.running).toBe(10));
  await node.vanish();
  clock.elapse(NODE_LEASE_MS);
  await reachable([node], false);
  expect((await getFork(world, id)).counts).toMatchObject({ running: 10, lost: 0 });
  await node.comeBack();
  await reachable([node], true);
  expect((await getFork(world, id)).counts).toMatchObject({ running: 10, lost: 0 });
  expect(heldBy(world).size).toBe(10);
});

it("tries elsewhere what a node refuses", async () => {
  const [full, free] = await readyNodes(world, 2);
  if (!full || !free) throw new Error("no nodes");
  full.forks.onChild = () => ({ kind: "refused", reason: "capacity", retryAfterMs: 60_000 });
  const { id } = await fork(world, { count: 20, spread: "spread" });
  expect(await ended(world, id)).toMatchObject({ state: "done", counts: { running: 20 } });
  expect(free.sandboxes.size).toBe(20);
  expect(await sandboxStates(world, id)).toEqual({ running: 20 });
});

it("gives up a child that does not start anywhere, and no other", async () => {
  const nodes = await readyNodes(world, 2);
  for (const node of nodes)
    node.forks.onChild = ({ index }) => (index === 3 ? { kind: "failed", code: "sandbox.start_failed", message: "no\0 good" } : null);
  const { id } = await fork(world, { count: 6, command: command(), after: "keep" });
  expect(await ended(world, id)).toMatchObject({ state: "done", counts: { succeeded: 5, failed: 1 } });
  expect((await childrenOf(world, id))[3]).toMatchObject({
    state: "failed",
    attempts: 3,
    error: { code: "sandbox.start_failed", message: "no\ufffd good" },
  });
});

it("fails children whose layers no node can have", async () => {
  const [node] = await readyNodes(world, 1);
  if (!node) throw new Error("no node");
  node.forks.onBatch = async () => {
    throw fault("layer.unavailable", { digest: "sha256:gone" });
  };
  const { id } = await fork(world, { count: 2 });
  expect(await ended(world, id)).toMatchObject({ state: "done", counts: { failed: 2 } });
  expect(await childrenOf(world, id)).toMatchObject([{ error: { code: "layer.unavailable" } }, { error: { code: "layer.unavailable" } }]);
});

it("runs an interrupted command again in a new child", async () => {
  const [node] = await readyNodes(world, 1);
  if (!node) throw new Error("no node");
  let interrupted = 0;
  node.forks.outcomeOf = ({ index }) => (index === 1 && interrupted++ === 0 ? null : outcome(0));
  const { id } = await fork(world, { count: 3, command: command(), after: "keep" });
  expect(await ended(world, id)).toMatchObject({ state: "done", counts: { succeeded: 3 } });
  const children = await childrenOf(world, id);
  expect(children[1]).toMatchObject({ attempts: 2, state: "succeeded" });
  await eventually(() => expect([...node.sandboxes.keys()].toSorted()).toEqual(children.map(({ sandboxId }) => sandboxId).toSorted()));
  expect(await sandboxStates(world, id)).toEqual({ running: 3, deleted: 1 });
});

it("counts a child as cancelled that its owner deletes, as failed one that it stops, and as lost one whose sandbox dies, at once", async () => {
  const [node] = await readyNodes(world, 1);
  if (!node) throw new Error("no node");
  node.forks.outcomeOf = () => "never";
  const { id } = await fork(world, { count: 4, command: command(), retries: 0 });
  await eventually(async () => expect((await getFork(world, id)).counts.running).toBe(4));
  const [deleted, stopped, dies, silent] = (await childrenOf(world, id)).map(({ sandboxId }) => sandboxId ?? "");
  await world.remove(deleted ?? "");
  await eventually(async () => expect((await getFork(world, id)).counts).toMatchObject({ cancelled: 1, running: 3 }));
  await world.stopSandbox(stopped ?? "");
  await eventually(async () => expect((await getFork(world, id)).counts).toMatchObject({ cancelled: 1, failed: 1, running: 2 }));
  await node.die(dies ?? "");
  await eventually(async () => expect((await getFork(world, id)).counts).toMatchObject({ cancelled: 1, failed: 1, lost: 1, running: 1 }));
  // Of one whose node says nothing it is known when the node has had its time.
  node.forks.saysInterrupted = false;
  await node.die(silent ?? "");
  await eventually(async () => expect((await world.get(silent ?? "")).state).toBe("stopped"));
  clock.age(60_000);
  expect(await ended(world, id)).toMatchObject({ state: "done", counts: { cancelled: 1, failed: 1, lost: 2 } });
  expect((await childrenOf(world, id)).map(({ error }) => error?.code)).toEqual([
    "sandbox.deleted",
    "sandbox.stopped",
    "sandbox.died",
    "sandbox.died",
  ]);
  expect(await sandboxStates(world, id)).toEqual({ deleted: 1, stopped: 3 });
});

it("makes a child again whose sandbox died under its command, once for each death", async () => {
  const [node] = await readyNodes(world, 1);
  if (!node) throw new Error("no node");
  node.forks.outcomeOf = () => "never";
  const { id } = await fork(world, { count: 2, command: command(), retries: 1 });
  await eventually(async () => expect((await getFork(world, id)).counts.running).toBe(2));
  const before = await childrenOf(world, id);
  node.forks.outcomeOf = () => outcome(0);
  for (const { sandboxId } of before) await node.die(sandboxId ?? "");
  expect(await ended(world, id)).toMatchObject({ state: "done", counts: { succeeded: 2 } });
  expect((await childrenOf(world, id)).map(({ attempts }) => attempts)).toEqual([2, 2]);
  expect(node.forks.ran).toHaveLength(4);
  for (const { sandboxId } of before) await eventually(() => expect(node.sandboxes.has(sandboxId ?? "")).toBe(false));
});

it("forgets a fork when it has been kept long enough, and nothing of one that goes on", async () => {
  const [node] = await readyNodes(world, 1);
  if (!node) throw new Error("no node");
  const old = await fork(world, { count: 3, command: command(), after: "delete" });
  await ended(world, old.id);
  node.forks.outcomeOf = () => "never";
  const young = await fork(world, { count: 3, command: command(), deadlineS: 7 * 24 * 3_600 });
  await eventually(async () => expect((await getFork(world, young.id)).counts.running).toBe(3));
  await world.stopScheduler();
  clock.age(world.config.scheduling.forksKeptMs - 60_000);
  await world.startScheduler();
  expect((await getFork(world, old.id)).state).toBe("done");
  await world.stopScheduler();
  clock.age(120_000);
  await world.startScheduler();
  const left = () => world.sql<{ id: string }[]>`
    select fork_id as id from fork_children union select fork_id from fork_events union select id from forks`;
  await eventually(async () => expect((await left()).map(({ id }) => id)).toEqual([young.id]));
});
