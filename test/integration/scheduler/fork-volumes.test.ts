import { type ForkSpec, fault, ListNodes, ListVolumeUsers, PromoteSandbox, type VolumeMount } from "@banyan/contracts";
import { newId } from "@banyan/kernel";
import { type FakeNode, type FakeVolumes, fakeVolumes, outcome } from "@banyan/testkit";
import { afterEach, beforeEach, expect, it } from "vitest";
import { childrenOf, command, ended, fork, getFork } from "./fork-harness.ts";
import { clusterOfFile, codeOf, eventually, startWorld, type World } from "./harness.ts";

const cluster = clusterOfFile();
let world: World;
let volumes: FakeVolumes;

beforeEach(async () => {
  world = await startWorld(cluster);
  volumes = fakeVolumes(world.bus);
});
afterEach(async () => {
  await volumes.stop();
  await world.end();
});

const mountOf = (volume: string, path: string, more: Partial<VolumeMount> = {}): VolumeMount => ({
  volume,
  version: null,
  path,
  subpath: "",
  mode: "cow",
  ...more,
});
async function nodes(...stores: string[][]): Promise<FakeNode[]> {
  const added: FakeNode[] = [];
  for (const reached of stores) added.push(await world.addNode({ stores: reached }));
  await eventually(async () => expect((await world.bus.call(ListNodes, {})).nodes).toHaveLength(world.nodes.length));
  return added;
}
const forkOf = (sandboxId: string, spec: Partial<ForkSpec>) => fork(world, spec, { source: { kind: "sandbox", sandboxId } });
const reason = (forkId: string, expected: string) =>
  eventually(async () => expect((await getFork(world, forkId)).stateReason).toBe(expected), { timeoutMs: 20_000 });

it("gives children the volumes of their source, those of the fork at the same path or beside them, and says so", async () => {
  const [node] = await nodes(["home"]);
  const [data, other] = [volumes.add("data", "home"), volumes.add("other", "home")];
  const source = await world.create({ spec: { volumes: [mountOf("data", "/data"), mountOf("data", "/in", { mode: "ro" })] } });
  const made = await forkOf(source.sandbox.id, {
    count: 3,
    volumes: [mountOf("other", "/data"), mountOf("other", "/out", { mode: "rw" })],
  });
  expect((await ended(world, made.id)).includes).toEqual(["files", "volumes"]);
  const declared = [mountOf(data.id, "/in", { mode: "ro" }), mountOf(other.id, "/data"), mountOf(other.id, "/out", { mode: "rw" })];
  for (const { sandboxId } of await childrenOf(world, made.id)) {
    expect((await world.get(sandboxId ?? "")).spec.volumes).toEqual(declared);
    const ordered = node?.sandboxes.get(sandboxId ?? "")?.order.mounts.map(({ path, source: { volumeId } }) => [path, volumeId]);
    expect(ordered).toEqual(declared.map(({ path, volume }) => [path, volume]));
  }
  expect((await fork(world, { count: 1 })).includes).toEqual(["files"]);
});

it("refuses volumes that cannot stand beside the source's, or do not exist, before anything is frozen", async () => {
  const [node] = await nodes(["home"]);
  volumes.add("data", "home");
  const { sandbox } = await world.create({ spec: { volumes: [mountOf("data", "/data")] } });
  await expect(forkOf(sandbox.id, { volumes: [mountOf("data", "/ok"), mountOf("data", "/data/deep")] })).rejects.toMatchObject({
    code: "request.invalid",
    details: { issues: [{ path: ["volumes", 1, "path"] }] },
  });
  expect(await codeOf(forkOf(sandbox.id, { volumes: [mountOf("missing", "/x")] }))).toBe("volume.not_found");
  expect(node?.forks.frozen.size).toBe(0);
});

it("starts children only where the store is reached, and ships to there", async () => {
  const [first, second] = await nodes(["home"], []);
  const { sandbox } = await world.create();
  const data = volumes.add("data", "home");
  const made = await forkOf(sandbox.id, { count: 4, spread: "spread", volumes: [mountOf("data", "/data")] });
  await ended(world, made.id);
  expect((await childrenOf(world, made.id)).map(({ nodeId }) => nodeId)).toEqual(Array(4).fill(first?.nodeId));
  expect(second?.forks.batches).toEqual([]);
  expect((await world.bus.call(ListVolumeUsers, { volumeId: data.id, versionId: null })).total).toBe(4);
});

it("waits while no node reaches the store, says why, counts as its user, and goes on", async () => {
  const [node] = await nodes([]);
  const data = volumes.add("data", "home");
  const made = await fork(world, { count: 2, volumes: [mountOf("data", "/data")] });
  await reason(made.id, "volumes");
  expect(await world.bus.call(ListVolumeUsers, { volumeId: data.id, versionId: null })).toEqual({ users: [], forks: 1, total: 1 });
  expect(node?.forks.batches).toEqual([]);
  node?.mounts.stores.set("home", "ok");
  expect(await ended(world, made.id)).toMatchObject({ state: "done", counts: { running: 2 } });
});

it("takes a child back that its node has no store for, and fails one at once whose mount every node would refuse", async () => {
  const [node] = await nodes(["home"]);
  if (node === undefined) throw new Error("no node");
  volumes.add("data", "home");
  let refused = 0;
  node.forks.onChild = () => (refused++ < 4 ? { kind: "failed", code: "volume.unreachable", message: "no store" } : null);
  const first = await fork(world, { count: 1, volumes: [mountOf("data", "/data")] });
  expect(await ended(world, first.id)).toMatchObject({ counts: { running: 1, failed: 0 } });
  node.forks.onChild = () => ({ kind: "failed", code: "volume.subpath_not_found", message: "nothing there" });
  const second = await fork(world, { count: 1, volumes: [mountOf("data", "/data", { subpath: "x" })] });
  await ended(world, second.id);
  expect(await childrenOf(world, second.id)).toMatchObject([
    { state: "failed", attempts: 1, error: { code: "volume.subpath_not_found", message: "nothing there" } },
  ]);
});

it("resolves volumes again after a restart, waiting for whoever answers, and has no order in any row", async () => {
  const [node] = await nodes(["a-store-of-its-own"]);
  volumes.add("data", "a-store-of-its-own");
  if (node === undefined) throw new Error("no node");
  const gate = Promise.withResolvers<void>();
  node.forks.outcomeOf = async () => {
    await gate.promise;
    return outcome(0);
  };
  const made = await fork(world, { count: 3, maxParallel: 1, command: command(), volumes: [mountOf("data", "/data")] });
  await eventually(() => expect(node.forks.ran).toHaveLength(1));
  const rows = await world.sql<{ whole: string }[]>`select forks::text as whole from forks union all select sandboxes::text from sandboxes`;
  expect(rows.some(({ whole }) => whole.includes("/data"))).toBe(true);
  expect(rows.some(({ whole }) => whole.includes("a-store-of-its-own"))).toBe(false);
  await world.stopScheduler();
  const before = volumes.resolved;
  volumes.onResolve = async () => {
    if (volumes.resolved < before + 3) throw fault("volume.not_ready");
  };
  await world.startScheduler();
  gate.resolve();
  expect(await ended(world, made.id)).toMatchObject({ state: "done", counts: { succeeded: 3 } });
  expect(volumes.resolved).toBe(before + 3);
  expect(node.forks.batches.every(({ mounts }) => mounts.length === 1)).toBe(true);
});

it("fails a fork whose volumes are gone when it is taken up again", async () => {
  await nodes([]);
  volumes.add("data", "home");
  const made = await fork(world, { count: 2, volumes: [mountOf("data", "/data")] });
  await reason(made.id, "volumes");
  await world.stopScheduler();
  volumes.remove("data");
  await world.startScheduler();
  expect(await ended(world, made.id)).toMatchObject({ state: "failed", stateReason: "volume.not_found", counts: { cancelled: 2 } });
});

it("keeps a promoted parent's own mounts, made anew for its next run", async () => {
  const [node] = await nodes(["home"]);
  const data = volumes.add("data", "home");
  volumes.add("other", "home");
  const parent = (await world.create({ spec: { volumes: [mountOf("data", "/data")] } })).sandbox;
  const child = (await world.create({ spec: { volumes: [mountOf("other", "/data")] } })).sandbox;
  const origin = JSON.stringify({ forkId: newId("frk"), index: 0, parentId: parent.id });
  // Behind its start, which is written after it is answered.
  await eventually(async () => expect(await world.rowState(child.id)).toBe("running"));
  await world.sql`update sandboxes set origin = ${origin}::text::jsonb where id = ${child.id}`;
  const before = volumes.resolved;
  await world.bus.call(PromoteSandbox, { orgId: world.orgId, id: child.id, force: true });
  expect((await world.get(parent.id)).spec.volumes).toEqual([mountOf(data.id, "/data")]);
  await eventually(() => expect(node?.sandboxes.get(parent.id)).toMatchObject({ epoch: 2, state: "running" }));
  expect(node?.sandboxes.get(parent.id)?.order.mounts).toMatchObject([{ path: "/data", source: { volumeId: data.id } }]);
  expect(volumes.resolved).toBeGreaterThan(before);
});
