import { DeleteSandbox, type ForkSource, ListLayerUsers, ListNodes } from "@banyan/contracts";
import type { FakeNode } from "@banyan/testkit";
import { afterEach, beforeEach, expect, it } from "vitest";
import { childrenOf, command, ended, fork, getFork, sandboxStates } from "./fork-harness.ts";
import { clusterOfFile, codeOf, eventually, readyNodes, type ShiftingClock, shiftingClock, startWorld, type World } from "./harness.ts";

const LOST_AFTER_MS = 60_000;
const cluster = clusterOfFile();
let world: World;
let clock: ShiftingClock;

beforeEach(async () => {
  clock = shiftingClock();
  world = await startWorld(cluster, { clock, scheduling: { nodeLostAfterMs: LOST_AFTER_MS } });
});
afterEach(() => world.end());

async function parent(env: Record<string, string> = {}): Promise<{ id: string; source: ForkSource; home: FakeNode }> {
  const { sandbox } = await world.create({ spec: { env, labels: { own: "yes" }, name: "parent", workdir: "/work" } });
  const home = world.nodes.find(({ nodeId }) => nodeId === sandbox.nodeId);
  if (!home) throw new Error("nowhere");
  return { id: sandbox.id, source: { kind: "sandbox", sandboxId: sandbox.id }, home };
}

it("freezes a running sandbox once, and its children stand on that", async () => {
  await readyNodes(world, 1);
  const { id: parentId, source, home } = await parent({ KEY: "value" });
  const made = await fork(world, { count: 4, name: "child" }, { source });
  expect(made).toMatchObject({ freeze: { way: "copy", pausedMs: 1.5 } });
  await ended(world, made.id);
  expect(home.forks.frozen.size).toBe(1);
  const [child] = await childrenOf(world, made.id);
  const record = await world.get(child?.sandboxId ?? "");
  expect(record).toMatchObject({
    origin: { forkId: made.id, index: 0, parentId },
    spec: { name: "child-0", labels: {}, workdir: "/work", env: { KEY: "value", BANYAN_PARENT_ID: parentId } },
  });
  const order = home.sandboxes.get(child?.sandboxId ?? "")?.order;
  const frozen = [...home.forks.frozen.keys()];
  expect(order?.layers.map(({ digest }) => digest)).toEqual([`sha256:${"ab".repeat(32)}`, `frozen:${frozen[0]}`]);
  expect(order?.env).toMatchObject({ FROM_IMAGE: "yes", KEY: "value" });
  await eventually(() => expect(home.forks.released).toEqual(frozen));
});

it("ships to other nodes while the source's own starts, once", async () => {
  await readyNodes(world, 3, { capacity: { cpu: 10 } });
  const { source, home } = await parent();
  const gate = Promise.withResolvers<void>();
  home.forks.onShip = () => gate.promise;
  const { id } = await fork(world, { count: 20 }, { source });
  await eventually(async () =>
    expect(await getFork(world, id)).toMatchObject({ stateReason: "shipping", counts: { running: 9, waiting: 11 } }),
  );
  gate.resolve();
  expect(await ended(world, id)).toMatchObject({ state: "done", freeze: { skipped: ["/run/socket"] }, counts: { running: 20 } });
  expect(home.forks.shipped).toBe(1);
  const elsewhere = world.nodes.filter((node) => node !== home).flatMap(({ forks }) => forks.batches);
  for (const { layers } of elsewhere)
    expect(layers.map(({ digest }) => digest)).toEqual([`sha256:${"ab".repeat(32)}`, `sha256:${"f0".repeat(32)}`]);
});

it("goes on when its source is deleted in the middle", async () => {
  await readyNodes(world, 1, { capacity: { cpu: 5 } });
  const { id: parentId, source, home } = await parent();
  home.forks.outcomeOf = () => "never";
  const { id } = await fork(world, { count: 6, command: command(), retries: 0 }, { source });
  await eventually(async () => expect((await getFork(world, id)).counts).toMatchObject({ running: 4, waiting: 2 }));
  await world.bus.call(DeleteSandbox, { orgId: world.orgId, id: parentId });
  await eventually(async () => expect((await getFork(world, id)).counts).toMatchObject({ running: 5, waiting: 1 }));
});

it("fails the children that wait when the only node with their files is gone", async () => {
  await readyNodes(world, 2, { capacity: { cpu: 4 } });
  const { source, home } = await parent();
  home.forks.onShip = async () => {
    throw new Error("the store is full");
  };
  home.forks.outcomeOf = () => "never";
  const { id } = await fork(world, { count: 10, command: command(), retries: 2 }, { source });
  await eventually(async () => expect((await getFork(world, id)).counts.running).toBe(3));
  await home.vanish();
  clock.elapse(LOST_AFTER_MS);
  for (const node of world.nodes) if (node !== home) await node.beat();
  expect(await ended(world, id)).toMatchObject({ stateReason: "fork.source_lost", counts: { failed: 10, waiting: 0 } });
  expect((await childrenOf(world, id))[9]).toMatchObject({ state: "failed", error: { code: "fork.source_lost" } });
});

it("fails as a whole where the source cannot be frozen", async () => {
  await readyNodes(world, 1);
  const { id: parentId, source, home } = await parent();
  home.sandboxes.delete(parentId);
  const { id } = await fork(world, { count: 2 }, { source });
  expect(await ended(world, id)).toMatchObject({ state: "failed", stateReason: "source_gone", counts: { cancelled: 2 } });
  expect(await sandboxStates(world, id)).toEqual({});
});

it("freezes again what the first try could not, under the same name", async () => {
  await readyNodes(world, 1);
  const { source, home } = await parent();
  let tries = 0;
  home.forks.onFreeze = async () => {
    if (tries++ < 2) throw new Error("busy");
  };
  const { id } = await fork(world, { count: 2 }, { source });
  expect(await ended(world, id)).toMatchObject({ state: "done", counts: { running: 2 } });
  expect(home.forks.frozen.size).toBe(1);
});

it("forks a stopped sandbox, and a child of a fork", async () => {
  await readyNodes(world, 1);
  const { id: parentId, source, home } = await parent();
  await world.stopSandbox(parentId);
  const first = await fork(world, { count: 1 }, { source });
  expect(first.freeze?.way).toBe("stopped");
  await ended(world, first.id);
  const [child] = await childrenOf(world, first.id);
  const second = await fork(world, { count: 1 }, { source: { kind: "sandbox", sandboxId: child?.sandboxId ?? "" } });
  await ended(world, second.id);
  const [grandchild] = await childrenOf(world, second.id);
  const order = home.sandboxes.get(grandchild?.sandboxId ?? "")?.order;
  expect(order?.layers).toHaveLength(3);
  expect(order?.env).toMatchObject({ BANYAN_PARENT_ID: child?.sandboxId, BANYAN_FORK_ID: second.id });
});

it("refuses a source in a state that cannot be forked, or away", async () => {
  const [node] = await readyNodes(world, 1);
  const { id: parentId, source } = await parent();
  await node?.vanish();
  clock.elapse(20_000);
  await eventually(async () => expect((await world.bus.call(ListNodes, {})).nodes[0]?.reachable).toBe(false));
  expect(await codeOf(fork(world, {}, { source }))).toBe("node.unreachable");
  await world.remove(parentId);
  expect(await codeOf(fork(world, {}, { source }))).toBe("sandbox.illegal_transition");
});

it("counts layers that its children are still to stand on as used", async () => {
  await readyNodes(world, 1, { capacity: { cpu: 1 } });
  const digest = `sha256:${"ab".repeat(32)}`;
  const ask = () => world.bus.call(ListLayerUsers, { imageId: null, digests: [digest] });
  expect(await ask()).toMatchObject({ count: 0, usedDigests: [] });
  const { id } = await fork(world, { count: 2, resources: { cpu: 4 } });
  await eventually(async () => expect((await getFork(world, id)).stateReason).toBe("none_fits"));
  expect(await ask()).toMatchObject({ count: 1, usedDigests: [digest] });
});
