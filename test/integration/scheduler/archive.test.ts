import { ArchiveSandbox, fault, type InputOf, ListLayerUsers, RegisterImage, SnapshotSandbox } from "@banyan/contracts";
import { newId } from "@banyan/kernel";
import type { FakeNode } from "@banyan/testkit";
import { afterEach, beforeEach, expect, it } from "vitest";
import { clusterOfFile, codeOf, eventually, shiftingClock, startWorld, type World } from "./harness.ts";

const cluster = clusterOfFile();
let world: World;
let node: FakeNode;

beforeEach(async () => {
  world = await startWorld(cluster);
  node = await world.addNode();
});
afterEach(() => world.end());

const archive = async (id: string, orgId = world.orgId) => (await world.bus.call(ArchiveSandbox, { orgId, id })).sandbox;

async function stopped(): Promise<string> {
  const { sandbox } = await world.create();
  await world.stopSandbox(sandbox.id);
  return sandbox.id;
}

it("gives up the disk of a stopped sandbox, and starts it on any node from the layers it became", async () => {
  const id = await stopped();
  expect(await archive(id)).toMatchObject({ state: "stopped", nodeId: null, epoch: 1 });
  await eventually(() => expect(node.sandboxes.size).toBe(0));
  const other = await world.addNode();
  await node.vanish();
  const { sandbox, route } = await world.start(id);
  expect(sandbox).toMatchObject({ state: "running", nodeId: other.nodeId, epoch: 2 });
  expect(route).toMatchObject({ nodeId: other.nodeId, epoch: 2 });
  expect(other.orders).toMatchObject([{ fresh: true, layers: [{}, { digest: expect.stringMatching(/^sha256:0+1$/) }] }]);
  await world.stopSandbox(id);
  expect(await world.get(id), "it has a disk there now").toMatchObject({ state: "stopped", nodeId: other.nodeId });
  expect((await world.start(id)).sandbox).toMatchObject({ nodeId: other.nodeId, epoch: 3 });
  expect(other.orders.at(-1)).toMatchObject({ fresh: false });
});

it("keeps the layers of an archived sandbox in use, whatever else goes", async () => {
  const id = await stopped();
  await archive(id);
  const own = `sha256:${String(node.frozen).padStart(64, "0")}`;
  const users = () => world.bus.call(ListLayerUsers, { imageId: null, digests: [own] });
  expect(await users()).toMatchObject({ sandboxIds: [id], usedDigests: [own] });
  await world.remove(id);
  await eventually(async () => expect((await users()).count).toBe(0));
});

it("is one archive however often it is asked for, and a second time costs nothing", async () => {
  const id = await stopped();
  const answers = await Promise.all(Array.from({ length: 5 }, () => archive(id)));
  for (const answer of answers) expect(answer).toEqual(answers[0]);
  expect(await archive(id)).toEqual(answers[0]);
  expect(node.frozen).toBe(1);
});

it("is refused of what runs, what is another's and what is gone", async () => {
  const { sandbox } = await world.create();
  expect(await codeOf(archive(sandbox.id))).toBe("sandbox.illegal_transition");
  await world.stopSandbox(sandbox.id);
  expect(await codeOf(archive(sandbox.id, newId("org")))).toBe("sandbox.not_found");
  expect(await codeOf(archive(newId("sbx")))).toBe("sandbox.not_found");
  await node.vanish();
  expect(await codeOf(archive(sandbox.id))).toBe("node.unreachable");
  expect(await world.get(sandbox.id)).toMatchObject({ state: "stopped", nodeId: node.nodeId });
});

it("leaves the disk where it is when it fails, and makes the files of one run only", async () => {
  const id = await stopped();
  node.onSnapshot = async () => {
    throw fault("snapshot.failed", {});
  };
  expect(await codeOf(archive(id))).toBe("snapshot.failed");
  expect(await world.get(id)).toMatchObject({ state: "stopped", nodeId: node.nodeId, epoch: 1 });
  const frozen = Promise.withResolvers<void>();
  const shipped = Promise.withResolvers<void>();
  node.onSnapshot = async () => {
    frozen.resolve();
    await shipped.promise;
  };
  const archiving = codeOf(archive(id));
  await frozen.promise;
  expect((await world.start(id)).sandbox, "a start does not wait for it").toMatchObject({ state: "running", epoch: 2 });
  await world.stopSandbox(id);
  shipped.resolve();
  expect(await archiving, "what was shipped are the files of the run before").toBe("sandbox.version_conflict");
  expect(await world.get(id)).toMatchObject({ state: "stopped", nodeId: node.nodeId, epoch: 2 });
  expect(node.sandboxes.has(id)).toBe(true);
  node.onSnapshot = null;
  expect(await archive(id)).toMatchObject({ nodeId: null });
});

it("never leaves a sandbox without its files when the scheduler ends in the middle", async () => {
  const id = await stopped();
  const frozen = Promise.withResolvers<void>();
  const shipped = Promise.withResolvers<void>();
  node.onSnapshot = async () => {
    frozen.resolve();
    await shipped.promise;
  };
  const archiving = codeOf(archive(id));
  await frozen.promise;
  const ending = world.stopScheduler();
  shipped.resolve();
  await ending;
  await archiving;
  await world.startScheduler();
  const { nodeId } = await world.get(id);
  expect(nodeId === null || node.sandboxes.has(id)).toBe(true);
  expect((await world.start(id)).sandbox).toMatchObject({ state: "running", epoch: 2 });
});

it("puts an archived sandbox that no node takes back to where its files are, and deletes it at once", async () => {
  const id = await stopped();
  await archive(id);
  node.onStart = async () => ({ kind: "refused", reason: "capacity", retryAfterMs: 100 });
  expect(await codeOf(world.start(id))).toBe("node.none_available");
  expect(await world.get(id)).toMatchObject({ state: "stopped", nodeId: null, stateReason: "node.none_available" });
  node.onStart = async () => {
    throw fault("layer.unavailable", {});
  };
  expect(await codeOf(world.start(id))).toBe("layer.unavailable");
  expect(await world.get(id)).toMatchObject({ state: "stopped", nodeId: null });
  node.onStart = null;
  await node.vanish();
  expect(await world.remove(id), "nothing on any node is to be waited for").toEqual({ state: "deleted" });
});

it("takes a snapshot of an archived sandbox for its stack as it is", async () => {
  const id = await stopped();
  const { frozen } = node;
  await archive(id);
  const registered: InputOf<typeof RegisterImage>[] = [];
  const serving = world.bus.serve(RegisterImage, async (input) => {
    registered.push(input);
    throw fault("request.invalid", {});
  });
  await world.bus.flush();
  const imageId = newId("img");
  expect(await codeOf(world.bus.call(SnapshotSandbox, { orgId: world.orgId, id, imageId, name: null }))).toBe("request.invalid");
  expect(registered).toMatchObject([{ imageId, layers: [{}, {}] }]);
  expect(node.frozen).toBe(frozen + 1);
  await serving.stop();
});

it("archives what is stopped by itself where the operator wants that", async () => {
  await world.end();
  const clock = shiftingClock();
  world = await startWorld(cluster, { clock, scheduling: { archiveOnStop: true } });
  node = await world.addNode();
  const id = await stopped();
  const { sandbox: runs } = await world.create();
  clock.age(10_000);
  await eventually(async () => expect(await world.get(id)).toMatchObject({ state: "stopped", nodeId: null }));
  expect(await world.get(runs.id)).toMatchObject({ state: "running", nodeId: node.nodeId });
});
