import { CordonNode, DrainNode, fault, ListNodes } from "@banyan/contracts";
import type { FakeNode } from "@banyan/testkit";
import { afterEach, beforeEach, expect, it } from "vitest";
import { clusterOfFile, codeOf, eventually, startWorld, type World } from "./harness.ts";

const cluster = clusterOfFile();
let world: World;
let first: FakeNode;
let second: FakeNode;

beforeEach(async () => {
  world = await startWorld(cluster);
  [first, second] = [await world.addNode(), await world.addNode()];
  await eventually(async () => expect((await world.bus.call(ListNodes, {})).nodes).toHaveLength(2));
  await cordon(second.nodeId, true);
});
afterEach(() => world.end());

const cordon = (nodeId: string, cordoned: boolean) => world.bus.call(CordonNode, { nodeId, cordoned });
const drain = (mode: "move" | "stop") => world.bus.call(DrainNode, { nodeId: first.nodeId, mode });
const emptied = (mode: "move" | "stop") =>
  eventually(async () => {
    expect(await drain(mode)).toMatchObject({ left: 0, failed: [] });
    expect(first.sandboxes.size).toBe(0);
  });
const create = async () => (await world.create()).sandbox.id;

it("moves what runs to other nodes with its files, and puts away what is stopped", async () => {
  const running = await Promise.all(Array.from({ length: 10 }, create));
  const rests = await create();
  await world.stopSandbox(rests);
  await cordon(second.nodeId, false);
  expect(await drain("move")).toMatchObject({ node: { cordoned: true, draining: "move" } });
  await emptied("move");
  await eventually(async () => {
    for (const id of running) expect(await world.get(id)).toMatchObject({ state: "running", nodeId: second.nodeId, epoch: 2 });
  });
  expect(await world.get(rests)).toMatchObject({ state: "stopped", nodeId: null, epoch: 1 });
  for (const order of second.orders) expect(order).toMatchObject({ fresh: true, layers: [{}, {}] });
  expect(second.orders).toHaveLength(running.length);
});

it("leaves what it has stopped stopped where that was asked for", async () => {
  const runs = await create();
  await cordon(second.nodeId, false);
  await drain("stop");
  await emptied("stop");
  expect(await world.get(runs)).toMatchObject({ state: "stopped", nodeId: null, stateReason: "drained" });
  expect(second.orders).toEqual([]);
  expect((await world.start(runs)).sandbox).toMatchObject({ state: "running", nodeId: second.nodeId });
});

it("goes on after the scheduler was ended in the middle, and names what does not leave", async () => {
  const stuck = await create();
  const moves = await create();
  first.onSnapshot = async (id) => {
    if (id === stuck) throw fault("snapshot.failed", {});
  };
  await cordon(second.nodeId, false);
  await drain("move");
  await eventually(async () =>
    expect(await drain("move")).toMatchObject({ left: 1, failed: [{ sandboxId: stuck, reason: "snapshot.failed" }] }),
  );
  await world.stopScheduler();
  await world.startScheduler();
  first.onSnapshot = null;
  await eventually(async () => {
    expect(await world.get(stuck)).toMatchObject({ state: "running", nodeId: second.nodeId });
    expect(await world.get(moves)).toMatchObject({ state: "running", nodeId: second.nodeId });
  });
  await emptied("move");
});

it("does not keep the scheduler from ending while files are on their way, and goes on afterwards", async () => {
  const id = await create();
  const under = Promise.withResolvers<void>();
  const shipped = Promise.withResolvers<void>();
  first.onSnapshot = async () => {
    under.resolve();
    await shipped.promise;
  };
  await cordon(second.nodeId, false);
  await drain("move");
  await under.promise;
  await world.stopScheduler();
  expect(await world.rowState(id)).toBe("stopped");
  first.onSnapshot = null;
  shipped.resolve();
  await world.startScheduler();
  await eventually(async () => expect(await world.get(id)).toMatchObject({ state: "running", nodeId: second.nodeId }));
});

it("starts what found no room as soon as there is some, and says so until then", async () => {
  const id = await create();
  await drain("move");
  await eventually(async () =>
    expect(await drain("move")).toMatchObject({ left: 0, failed: [{ sandboxId: id, reason: "node.none_available" }] }),
  );
  expect(await world.get(id)).toMatchObject({ state: "stopped", stateReason: "moving", nodeId: null });
  await cordon(second.nodeId, false);
  await eventually(async () => expect(await world.get(id)).toMatchObject({ state: "running", nodeId: second.nodeId }));
  await emptied("move");
});

it("stops emptying when the node is uncordoned, and knows no other node than those there are", async () => {
  const id = await create();
  first.onSnapshot = async () => {
    throw fault("snapshot.failed", {});
  };
  await drain("move");
  await eventually(async () => expect((await drain("move")).failed).toHaveLength(1));
  expect((await cordon(first.nodeId, false)).node).toMatchObject({ cordoned: false, draining: null });
  await eventually(async () => expect(await world.get(id)).toMatchObject({ state: "running", nodeId: first.nodeId, epoch: 2 }));
  expect(await codeOf(world.bus.call(DrainNode, { nodeId: "nobody", mode: "stop" }))).toBe("node.not_found");
});
