import { newId } from "@banyan/kernel";
import { outcome } from "@banyan/testkit";
import { afterEach, beforeEach, expect, it } from "vitest";
import { cancelFork, childrenOf, command, ended, eventsOf, fork, getFork, heldBy, sandboxStates } from "./fork-harness.ts";
import { clusterOfFile, eventually, LARGE_QUOTA, readyNodes, startWorld, type World } from "./harness.ts";

const cluster = clusterOfFile();
let world: World;

beforeEach(async () => {
  world = await startWorld(cluster);
});
afterEach(() => world.end());

const SMALL = { cpu: 0.1, memoryMb: 64, pids: 16, diskMb: 16 };

it("makes 10,000 children over 20 nodes, each exactly once", { timeout: 120_000 }, async () => {
  await readyNodes(world, 20, { slots: 500 });
  const { id } = await fork(world, { count: 10_000, resources: SMALL });
  expect(await ended(world, id, 90_000)).toMatchObject({ state: "done", counts: { total: 10_000, running: 10_000, lost: 0, failed: 0 } });
  const children = await childrenOf(world, id);
  expect(children.map(({ index }) => index)).toEqual(Array.from({ length: 10_000 }, (_, index) => index));
  const held = heldBy(world);
  expect(held.size).toBe(10_000);
  for (const { sandboxId, nodeId } of children) expect(held.get(sandboxId ?? "")).toBe(nodeId);
  expect(await sandboxStates(world, id)).toEqual({ running: 10_000 });
  const told = (await eventsOf(world, id)).flatMap(({ event }) => (event.kind === "children" ? event.children : []));
  expect(told.filter(({ state }) => state === "running")).toHaveLength(10_000);
});

it("runs in waves by max_parallel, never more at once", async () => {
  const [node] = await readyNodes(world, 1);
  if (!node) throw new Error("no node");
  let most = 0;
  // What has ended is deleted at once: what is there runs.
  node.forks.onBatch = async ({ children }) => {
    most = Math.max(most, node.sandboxes.size + children.length);
    return null;
  };
  const { id } = await fork(world, { count: 30, command: command(), after: "delete", maxParallel: 7 });
  expect(await ended(world, id)).toMatchObject({ state: "done", inWaves: true, counts: { succeeded: 30 } });
  expect(most).toBe(7);
  expect(node.forks.ran).toHaveLength(30);
});

it("runs in waves by quota, and says what it waits for", async () => {
  const [node] = await readyNodes(world, 1);
  if (!node) throw new Error("no node");
  const gate = Promise.withResolvers<void>();
  node.forks.outcomeOf = () => gate.promise.then(() => outcome(0));
  const { id } = await fork(world, { count: 12, command: command(), after: "delete" }, { quota: { ...LARGE_QUOTA, sandboxes: 5 } });
  await eventually(async () =>
    expect(await getFork(world, id)).toMatchObject({ stateReason: "quota", counts: { running: 5, waiting: 7 } }),
  );
  expect(node.sandboxes.size).toBe(5);
  gate.resolve();
  expect(await ended(world, id)).toMatchObject({ state: "done", inWaves: true, counts: { succeeded: 12 } });
});

it("waits where there is no room, and goes on when a node joins", async () => {
  await readyNodes(world, 1, { capacity: { cpu: 4 } });
  const { id } = await fork(world, { count: 10 });
  await eventually(async () =>
    expect(await getFork(world, id)).toMatchObject({ stateReason: "over_capacity", inWaves: true, counts: { running: 4 } }),
  );
  const { id: large } = await fork(world, { count: 2, resources: { cpu: 5 } });
  await eventually(async () => expect(await getFork(world, large)).toMatchObject({ stateReason: "none_fits", counts: { waiting: 2 } }));
  await readyNodes(world, 1, { capacity: { cpu: 100 } });
  expect(await ended(world, id)).toMatchObject({ state: "done", counts: { running: 10 } });
  expect(await ended(world, large)).toMatchObject({ state: "done", stateReason: null, counts: { running: 2 } });
});

it("gives each organisation its share", async () => {
  const [node] = await readyNodes(world, 1, { slots: 10, capacity: { cpu: 10 } });
  if (!node) throw new Error("no node");
  const firstOf = new Map<string, number>();
  node.forks.outcomeOf = () => outcome(0);
  node.forks.onBatch = async ({ orgId }) => {
    if (!firstOf.has(orgId)) firstOf.set(orgId, node.forks.ran.length);
    return null;
  };
  const large = await fork(world, { count: 400, command: command(), after: "delete" });
  const orgId = newId("org");
  const small = await fork(world, { count: 10, command: command(), after: "delete" }, { orgId });
  await ended(world, small.id, 40_000, orgId);
  expect((await getFork(world, large.id)).counts.succeeded).toBeLessThan(400);
  await ended(world, large.id);
});

it("deletes all of its children where that is asked for while it ends, also after a restart", async () => {
  for (const restarts of [false, true]) {
    const [node] = await readyNodes(world, 1);
    if (!node) throw new Error("no node");
    node.forks.outcomeOf = ({ index }) => (index < 2 ? outcome(0) : "never");
    const { id } = await fork(world, { count: 4, command: command(), after: "keep" });
    await eventually(async () => expect((await getFork(world, id)).counts).toMatchObject({ succeeded: 2, running: 2 }));
    const gate = Promise.withResolvers<void>();
    node.forks.onDelete = () => gate.promise;
    expect(await cancelFork(world, id)).toMatchObject({ state: "ending" });
    expect(await cancelFork(world, id, true)).toMatchObject({ state: "ending" });
    if (restarts) {
      await world.stopScheduler();
      gate.resolve();
      await world.startScheduler();
    } else gate.resolve();
    expect(await ended(world, id)).toMatchObject({ state: "cancelled", counts: { succeeded: 2, cancelled: 2 } });
    // What was not answered before the restart is tried again after ten seconds.
    await eventually(async () => expect(await sandboxStates(world, id)).toEqual({ deleted: 4 }), { timeoutMs: 40_000 });
    expect(node.sandboxes.size).toBe(0);
    await node.stop();
  }
});

it("is cancelled: what runs is deleted, what waits is not begun, and the counts add up", async () => {
  const nodes = await readyNodes(world, 2, { capacity: { cpu: 5 } });
  for (const node of nodes) node.forks.outcomeOf = () => "never";
  const { id } = await fork(world, { count: 50, command: command() });
  await eventually(async () => expect((await getFork(world, id)).counts.running).toBe(10));
  await cancelFork(world, id);
  const done = await ended(world, id);
  expect(done).toMatchObject({
    state: "cancelled",
    stateReason: "cancelled",
    counts: { total: 50, cancelled: 50, running: 0, waiting: 0 },
  });
  expect(heldBy(world).size).toBe(0);
  expect(await sandboxStates(world, id)).toEqual({ deleted: 10 });
  expect(await cancelFork(world, id)).toMatchObject({ state: "cancelled", version: done.version });
  expect((await childrenOf(world, id)).every(({ state }) => state === "cancelled")).toBe(true);
});

it("keeps what has ended when it is cancelled, unless asked to delete it", async () => {
  const [node] = await readyNodes(world, 1);
  if (!node) throw new Error("no node");
  node.forks.outcomeOf = ({ index }) => (index < 3 ? outcome(0) : "never");
  for (const [deleteChildren, left] of [
    [false, 3],
    [true, 3],
  ] as const) {
    const { id } = await fork(world, { count: 6, command: command() });
    await eventually(async () => expect((await getFork(world, id)).counts).toMatchObject({ succeeded: 3, running: 3 }));
    await cancelFork(world, id, deleteChildren);
    expect(await ended(world, id)).toMatchObject({ counts: { succeeded: 3, cancelled: 3 } });
    expect(node.sandboxes.size).toBe(left);
  }
});

it("ends at its deadline", async () => {
  const [node] = await readyNodes(world, 1);
  if (!node) throw new Error("no node");
  node.forks.outcomeOf = () => "never";
  const { id } = await fork(world, { count: 3, command: command(), deadlineS: 1 });
  expect(await ended(world, id)).toMatchObject({ state: "cancelled", stateReason: "deadline", counts: { cancelled: 3 } });
  expect(node.sandboxes.size).toBe(0);
});

it("ends with the first success: the rest is cancelled, the losers deleted", async () => {
  const nodes = await readyNodes(world, 2);
  for (const node of nodes) node.forks.outcomeOf = ({ index }) => (index === 7 ? outcome(0) : index < 5 ? outcome(1) : "never");
  const { id } = await fork(world, {
    count: 20,
    command: command(),
    policy: { kind: "first_success" },
    losers: "delete",
    spread: "spread",
  });
  const done = await ended(world, id);
  expect(done).toMatchObject({ state: "done", winner: 7, counts: { succeeded: 1, running: 0, waiting: 0, starting: 0 } });
  expect(done.counts.failed + done.counts.cancelled).toBe(19);
  const winner = (await childrenOf(world, id))[7];
  expect([...heldBy(world).keys()]).toEqual([winner?.sandboxId]);
});

it("finds the best by the number each prints", async () => {
  const [node] = await readyNodes(world, 1);
  if (!node) throw new Error("no node");
  node.forks.outcomeOf = ({ index }) =>
    index === 2 ? outcome(0, "no number\n") : outcome(index === 4 ? 1 : 0, `tried\n${index * 1.5}\n\n`);
  const { id } = await fork(world, {
    count: 6,
    command: command(),
    policy: { kind: "best", goal: "max" },
    losers: "delete",
    after: "stop",
  });
  expect(await ended(world, id)).toMatchObject({ state: "done", winner: 5, counts: { succeeded: 4, failed: 2 } });
  const children = await childrenOf(world, id);
  expect(children[5]).toMatchObject({ score: 7.5, state: "succeeded" });
  expect(children[2]).toMatchObject({ score: null, state: "failed", error: { code: "fork.no_score" } });
  expect([...node.sandboxes.keys()]).toEqual([children[5]?.sandboxId]);
  expect(await sandboxStates(world, id)).toEqual({ stopped: 1, deleted: 5 });
});

it("gives each child what is its own", async () => {
  const [node] = await readyNodes(world, 1);
  if (!node) throw new Error("no node");
  const each = [0, 1, 2].map((index) => ({ env: { OWN: `o${index}` }, stdin: `in ${index}`, files: { "/in": `file ${index}` } }));
  const { id } = await fork(world, { count: 3, command: command(), envCycle: { SIDE: ["a", "b"] }, each });
  await ended(world, id);
  const sent = node.forks.batches.flatMap(({ children }) => children);
  expect(sent.map(({ index, env, stdin, files }) => ({ index, env, stdin, files }))).toEqual(
    each.map((own, index) => ({
      index,
      env: { BANYAN_FORK_INDEX: String(index), SIDE: index % 2 ? "b" : "a", ...own.env },
      stdin: own.stdin,
      files: own.files,
    })),
  );
});
