import { ArchiveSandbox, CordonNode, ListNodes, RemoveNode, RouteSandbox } from "@banyan/contracts";
import { newId } from "@banyan/kernel";
import type { FakeNode } from "@banyan/testkit";
import { afterEach, beforeEach, expect, it } from "vitest";
import { clusterOfFile, codeOf, eventually, shiftingClock, startWorld, type World } from "./harness.ts";

const cluster = clusterOfFile();
let world: World;
let clock: ReturnType<typeof shiftingClock>;

beforeEach(async () => {
  clock = shiftingClock();
  world = await startWorld(cluster, { clock });
});
afterEach(() => world.end());

async function twoNodes(): Promise<[FakeNode, FakeNode]> {
  const nodes: [FakeNode, FakeNode] = [await world.addNode(), await world.addNode()];
  await eventually(async () => expect((await world.bus.call(ListNodes, {})).nodes).toHaveLength(2));
  return nodes;
}
const cordon = (nodeId: string, cordoned: boolean) => world.bus.call(CordonNode, { nodeId, cordoned });
const remove = (nodeId: string, force: boolean) => world.bus.call(RemoveNode, { nodeId, force });
const viewOf = async (nodeId: string) => (await world.bus.call(ListNodes, {})).nodes.find((node) => node.nodeId === nodeId);

it("puts nothing new on a cordoned node, keeps what runs there, and takes it back when it is uncordoned", async () => {
  const [first, second] = await twoNodes();
  const before = await Promise.all(Array.from({ length: 8 }, () => world.create()));
  expect((await cordon(first.nodeId, true)).node).toMatchObject({ cordoned: true, draining: null });
  for (let i = 0; i < 8; i++) expect((await world.create()).sandbox.nodeId).toBe(second.nodeId);
  for (const { sandbox } of before) expect((await world.get(sandbox.id)).state).toBe("running");
  await cordon(first.nodeId, false);
  await cordon(second.nodeId, true);
  expect((await world.create()).sandbox.nodeId).toBe(first.nodeId);
  expect(await codeOf(cordon("nobody", true))).toBe("node.not_found");
});

it("remembers a cordon over a restart of the scheduler and of the node", async () => {
  const [first, second] = await twoNodes();
  await cordon(first.nodeId, true);
  await world.stopScheduler();
  await first.vanish();
  await world.startScheduler();
  await first.comeBack({ restarted: true });
  await eventually(async () => expect(await viewOf(first.nodeId)).toMatchObject({ cordoned: true }));
  for (let i = 0; i < 8; i++) expect((await world.create()).sandbox.nodeId).toBe(second.nodeId);
});

it("starts a stopped sandbox of a cordoned node elsewhere, and there where nobody else has room", async () => {
  const [first, second] = await twoNodes();
  await cordon(second.nodeId, true);
  const { sandbox } = await world.create();
  const { sandbox: other } = await world.create();
  await world.stopSandbox(sandbox.id);
  await world.stopSandbox(other.id);
  await cordon(first.nodeId, true);
  expect((await world.start(other.id)).sandbox, "both are cordoned").toMatchObject({ nodeId: first.nodeId, epoch: 2 });
  await cordon(second.nodeId, false);
  expect((await world.start(sandbox.id)).sandbox).toMatchObject({ nodeId: second.nodeId, epoch: 2 });
  expect(second.orders.at(-1)).toMatchObject({ fresh: true, layers: [{}, {}] });
  await eventually(() => expect([...first.sandboxes.keys()]).toEqual([other.id]));
});

it("starts a stopped sandbox elsewhere when its own node is full, by the view of it or by its word", async () => {
  const first = await world.addNode({ capacity: { cpu: 2 } });
  const [byView, byWord] = [await world.create(), await world.create()].map(({ sandbox }) => sandbox.id) as [string, string];
  await world.stopSandbox(byView);
  await world.create();
  expect(await codeOf(world.start(byView)), "there is no other").toBe("node.none_available");
  const second = await world.addNode();
  await eventually(async () => expect(await viewOf(second.nodeId)).toBeDefined());
  expect((await world.start(byView)).sandbox).toMatchObject({ nodeId: second.nodeId, epoch: 2 });
  await world.stopSandbox(byWord);
  first.onStart = async () => ({ kind: "refused", reason: "capacity", retryAfterMs: 100 });
  expect((await world.start(byWord)).sandbox).toMatchObject({ nodeId: second.nodeId, state: "running" });
  await eventually(() => expect(first.sandboxes.size).toBe(1));
});

it("does not start a sandbox whose disk is on a node that is away", async () => {
  const [first, second] = await twoNodes();
  await cordon(second.nodeId, true);
  const { sandbox } = await world.create();
  await world.stopSandbox(sandbox.id);
  await cordon(second.nodeId, false);
  await first.vanish();
  clock.elapse(11_000);
  await eventually(async () => expect(await viewOf(first.nodeId)).toMatchObject({ reachable: false }));
  expect(await codeOf(world.start(sandbox.id))).toBe("node.unreachable");
  expect(await world.get(sandbox.id)).toMatchObject({ state: "stopped", nodeId: first.nodeId, epoch: 1 });
  await first.comeBack();
  expect((await eventually(() => world.start(sandbox.id))).sandbox).toMatchObject({ state: "running", nodeId: first.nodeId });
});

it("removes a node that holds nothing, and refuses one that does", async () => {
  const [first, second] = await twoNodes();
  await cordon(second.nodeId, true);
  const { sandbox } = await world.create();
  await expect(remove(first.nodeId, false)).rejects.toMatchObject({ code: "node.in_use", details: { sandboxes: 1, reachable: true } });
  expect(await codeOf(remove(first.nodeId, true)), "a node that answers loses nothing").toBe("node.in_use");
  expect((await world.get(sandbox.id)).state).toBe("running");
  await second.stop();
  expect(await remove(second.nodeId, false)).toEqual({ lost: 0 });
  expect(await viewOf(second.nodeId)).toBeUndefined();
  expect(await codeOf(remove(second.nodeId, false))).toBe("node.not_found");
});

it("gives up what a node had that is removed by force, and takes it back should it return", async () => {
  const [first, second] = await twoNodes();
  await cordon(second.nodeId, true);
  const created = [await world.create(), await world.create(), await world.create(), await world.create()];
  const [runs, rests, archived, goes] = created.map(({ sandbox }) => sandbox.id) as [string, string, string, string];
  await world.stopSandbox(rests);
  await world.stopSandbox(archived);
  await world.bus.call(ArchiveSandbox, { orgId: world.orgId, id: archived });
  await first.vanish();
  clock.elapse(11_000);
  await eventually(async () => expect(await viewOf(first.nodeId)).toMatchObject({ reachable: false }));
  expect(await world.remove(goes)).toEqual({ state: "deleting" });
  expect(await codeOf(remove(first.nodeId, false))).toBe("node.in_use");
  expect(await remove(first.nodeId, true)).toEqual({ lost: 2 });
  expect(await world.get(runs)).toMatchObject({ state: "failed", stateReason: "node_lost" });
  expect(await world.get(rests)).toMatchObject({ state: "failed", stateReason: "node_lost" });
  expect(await world.get(archived)).toMatchObject({ state: "stopped", nodeId: null });
  expect(await world.rowState(goes)).toBe("deleted");
  expect(await viewOf(first.nodeId)).toBeUndefined();
  await first.comeBack();
  await eventually(async () => {
    expect(await world.get(runs)).toMatchObject({ state: "running", nodeId: first.nodeId });
    expect(await world.get(rests)).toMatchObject({ state: "stopped", nodeId: first.nodeId });
  });
  await eventually(() => expect([...first.sandboxes.keys()].toSorted()).toEqual([runs, rests].toSorted()));
});

it("tells where a stopped sandbox lies to whoever asks for that, and nobody else", async () => {
  const [first, second] = await twoNodes();
  await cordon(second.nodeId, true);
  const { sandbox } = await world.create();
  await world.stopSandbox(sandbox.id);
  const route = (stopped?: boolean) =>
    world.bus.call(RouteSandbox, { orgId: world.orgId, id: sandbox.id, ...(stopped === undefined ? {} : { stopped }) });
  expect(await codeOf(route())).toBe("sandbox.not_running");
  expect(await route(true)).toMatchObject({ nodeId: first.nodeId, epoch: 1 });
  await world.bus.call(ArchiveSandbox, { orgId: world.orgId, id: sandbox.id });
  await expect(route(true)).rejects.toMatchObject({ code: "sandbox.not_running", details: { hasDisk: false } });
  expect(await codeOf(world.bus.call(RouteSandbox, { orgId: newId("org"), id: sandbox.id, stopped: true }))).toBe("sandbox.not_found");
});
