import { DEFAULT_RESOURCES, fault, ListNodes, ListVolumeUsers, MountVolume, UnmountVolume, type VolumeMount } from "@banyan/contracts";
import { newId } from "@banyan/kernel";
import { type FakeNode, type FakeVolumes, fakeVolumes } from "@banyan/testkit";
import { afterEach, beforeEach, expect, it } from "vitest";
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

const mountOf = (volume: string, path = "/data", more: Partial<VolumeMount> = {}): VolumeMount => ({
  volume,
  version: null,
  path,
  subpath: "",
  mode: "rw",
  ...more,
});
const mount = (id: string, one: VolumeMount) => world.bus.call(MountVolume, { orgId: world.orgId, id, mount: one });
const unmount = (id: string, path: string, force = false) => world.bus.call(UnmountVolume, { orgId: world.orgId, id, path, force });
const usersOf = (volumeId: string, versionId: string | null = null) => world.bus.call(ListVolumeUsers, { volumeId, versionId });

/** Nodes that the scheduler knows, by the stores that each reaches. */
async function nodes(...stores: string[][]): Promise<FakeNode[]> {
  const added = [];
  for (const reached of stores) added.push(await world.addNode({ stores: reached, capacity: { diskMb: 1_000_000 } }));
  await eventually(async () => expect((await world.bus.call(ListNodes, {})).nodes).toHaveLength(world.nodes.length));
  return added;
}

/** Takes the store away, or gives it back, until the scheduler knows of it. */
async function turn(node: FakeNode, store: string, state: "ok" | "lost"): Promise<void> {
  node.mounts.stores.set(store, state);
  await node.beat();
  await eventually(async () => {
    const { nodes: views } = await world.bus.call(ListNodes, {});
    expect(views.find(({ nodeId }) => nodeId === node.nodeId)?.stores).toMatchObject([{ store, state }]);
  });
}

const mountsOn = (node: FakeNode | undefined, id: string) => node?.sandboxes.get(id)?.order.mounts.map(({ path, mode }) => [path, mode]);
function homeOf(id: string): FakeNode {
  const found = world.nodes.find(({ sandboxes }) => sandboxes.has(id));
  if (found === undefined) throw new Error(`${id} is on no node`);
  return found;
}

it("starts what has volumes only where their stores are reached, with orders by id", async () => {
  const [, home] = await nodes([], ["home"], ["other"]);
  const data = volumes.add("data", "home");
  for (let i = 0; i < 5; i++) {
    const { sandbox } = await world.create({ spec: { volumes: [mountOf("data", "/data", { mode: "cow", subpath: "deep" })] } });
    expect(sandbox.nodeId).toBe(home?.nodeId);
    expect(sandbox.spec.volumes).toEqual([mountOf(data.id, "/data", { mode: "cow", subpath: "deep" })]);
    expect(home?.sandboxes.get(sandbox.id)?.order.mounts).toEqual([
      { path: "/data", subpath: "deep", mode: "cow", source: { kind: "directory", store: "home", volumeId: data.id, versionId: null } },
    ]);
  }
});

it("asks nobody about volumes where there are none", async () => {
  await nodes([]);
  await world.create();
  expect(volumes.resolved).toBe(0);
});

it("refuses what has a volume that does not exist, and leaves nothing", async () => {
  await nodes(["home"]);
  const id = newId("sbx");
  expect(await codeOf(world.create({ id, spec: { volumes: [mountOf("missing")] } }))).toBe("volume.not_found");
  expect(await world.rowState(id)).toBeNull();
});

it("says which stores no node reaches", async () => {
  await nodes(["home"], ["other"]);
  volumes.add("near", "home");
  volumes.add("far", "nowhere");
  volumes.add("beside", "other");
  const unreachable = (...names: string[]) => world.create({ spec: { volumes: names.map((name) => mountOf(name, `/${name}`)) } });
  await expect(unreachable("near", "far")).rejects.toMatchObject({
    code: "volume.unreachable",
    details: { stores: ["nowhere"], retryAfterMs: expect.any(Number) },
  });
  // Each is reached, and no node reaches both.
  await expect(unreachable("near", "beside")).rejects.toMatchObject({ code: "volume.unreachable", details: { stores: ["home", "other"] } });
  await expect(
    world.create({ spec: { resources: { ...DEFAULT_RESOURCES, diskMb: 10_000_000 }, volumes: [mountOf("near")] } }),
  ).rejects.toMatchObject({ code: "node.none_fits", details: { stores: ["home"] } });
});

it("tries another node where one has just lost the store", async () => {
  const [lost, there] = await nodes(["home"], ["home"]);
  volumes.add("data", "home");
  // Its heartbeat does not say so yet.
  if (lost !== undefined)
    lost.onStart = async () => {
      throw fault("volume.unreachable", { store: "home" });
    };
  for (let i = 0; i < 6; i++) expect((await world.create({ spec: { volumes: [mountOf("data")] } })).sandbox.nodeId).toBe(there?.nodeId);
  expect(lost?.orders.length).toBeGreaterThan(0);
});

it("asks no second node for what every node would refuse, and says why", async () => {
  const added = await nodes(["home"], ["home"]);
  volumes.add("data", "home");
  for (const code of ["volume.subpath_not_found", "mount.refused", "volume.not_found"] as const) {
    for (const node of added) {
      node.orders.length = 0;
      node.mounts.check = () => {
        throw fault(code, { path: "/data" });
      };
    }
    const id = newId("sbx");
    expect(await codeOf(world.create({ id, spec: { volumes: [mountOf("data")] } }))).toBe(code);
    expect(added.flatMap(({ orders }) => orders)).toHaveLength(1);
    await eventually(async () => expect(await world.rowState(id)).toBe("deleted"));
  }
});

it("starts a stopped sandbox with its volumes as they are now, and says why it can not", async () => {
  const [node] = await nodes(["home"]);
  const data = volumes.add("data", "home");
  const { sandbox } = await world.create({ spec: { volumes: [mountOf("data")] } });
  await world.stopSandbox(sandbox.id);
  volumes.remove("data");
  expect(await codeOf(world.start(sandbox.id))).toBe("volume.not_found");
  expect(await world.get(sandbox.id)).toMatchObject({ state: "stopped", epoch: 1 });
  const again = volumes.add("data", "home");
  Object.assign(again, { id: data.id });
  if (node !== undefined)
    node.mounts.check = () => {
      throw fault("volume.subpath_not_found");
    };
  expect(await codeOf(world.start(sandbox.id))).toBe("volume.subpath_not_found");
  expect(await world.get(sandbox.id)).toMatchObject({ state: "stopped", stateReason: "volume.subpath_not_found" });
  if (node !== undefined) node.mounts.check = () => {};
  await world.start(sandbox.id);
  expect(mountsOn(node, sandbox.id)).toEqual([["/data", "rw"]]);
});

it("places nothing new on a node that has lost the store, moves what is stopped there, and takes it again when it is back", async () => {
  const [first] = await nodes(["home"]);
  if (first === undefined) throw new Error("no node");
  volumes.add("data", "home");
  const spec = { volumes: [mountOf("data")] };
  const running = (await world.create({ spec })).sandbox;
  const stopped = (await world.create({ spec })).sandbox;
  await world.stopSandbox(stopped.id);
  await turn(first, "home", "lost");
  // What needs no volume starts there, and what runs goes on.
  expect((await world.create()).sandbox.nodeId).toBe(first.nodeId);
  await expect(world.create({ spec })).rejects.toMatchObject({ code: "volume.unreachable", details: { stores: ["home"] } });
  await expect(world.start(stopped.id)).rejects.toMatchObject({ code: "volume.unreachable", details: { nodeId: first.nodeId } });
  expect(await world.get(running.id)).toMatchObject({ state: "running", nodeId: first.nodeId });
  const [second] = await nodes(["home"]);
  expect((await world.start(stopped.id)).sandbox).toMatchObject({ state: "running", nodeId: second?.nodeId });
  await turn(first, "home", "ok");
  await second?.stop();
  expect((await world.create({ spec })).sandbox.nodeId).toBe(first.nodeId);
});

it("mounts into a running sandbox and takes it away again, and a repeat of each is like the first", async () => {
  await nodes(["home"]);
  const data = volumes.add("data", "home");
  const { sandbox } = await world.create();
  const mounted = await mount(sandbox.id, mountOf("data"));
  expect(mounted.sandbox.spec.volumes).toEqual([mountOf(data.id)]);
  expect(mountsOn(homeOf(sandbox.id), sandbox.id)).toEqual([["/data", "rw"]]);
  expect((await mount(sandbox.id, mountOf(data.id))).sandbox).toEqual(mounted.sandbox);
  expect(await world.get(sandbox.id)).toEqual(mounted.sandbox);
  expect((await unmount(sandbox.id, "/data/")).sandbox.spec.volumes).toEqual([]);
  expect(mountsOn(homeOf(sandbox.id), sandbox.id)).toEqual([]);
  expect(await codeOf(unmount(sandbox.id, "/data"))).toBe("mount.not_found");
});

it("changes only the row of a stopped sandbox; its next start mounts", async () => {
  const [node] = await nodes(["home"]);
  const data = volumes.add("data", "home");
  const { sandbox } = await world.create({ spec: { volumes: [mountOf("data", "/old")] } });
  await world.stopSandbox(sandbox.id);
  const mounts: unknown[] = [];
  if (node !== undefined) node.mounts.onMount = async (order) => void mounts.push(order);
  expect((await mount(sandbox.id, mountOf("data"))).sandbox.spec.volumes).toEqual([mountOf(data.id, "/old"), mountOf(data.id)]);
  await unmount(sandbox.id, "/old");
  expect(mounts).toEqual([]);
  await world.start(sandbox.id);
  expect(mountsOn(node, sandbox.id)).toEqual([["/data", "rw"]]);
});

it("names what is wrong with a mount, and mounts nothing", async () => {
  const [node] = await nodes(["home"]);
  volumes.add("data", "home").versions.set("first", newId("ver"));
  const { sandbox } = await world.create({ spec: { volumes: [mountOf("data")] } });
  expect(await codeOf(mount(sandbox.id, mountOf("data", "/data", { mode: "ro" })))).toBe("mount.exists");
  await expect(mount(sandbox.id, mountOf("data", "/data/deep"))).rejects.toMatchObject({
    code: "request.invalid",
    details: { issues: [{ path: ["mount", "path"] }] },
  });
  await expect(mount(sandbox.id, mountOf("data", "/v", { version: "first", mode: "rw" }))).rejects.toMatchObject({
    code: "request.invalid",
    details: { issues: [{ path: ["mount", "mode"] }] },
  });
  expect(await codeOf(mount(sandbox.id, mountOf("missing", "/other")))).toBe("volume.not_found");
  expect(await codeOf(mount(sandbox.id, mountOf("data", "/other", { version: "none", mode: "ro" })))).toBe("volume.version_not_found");
  if (node !== undefined)
    node.mounts.check = () => {
      throw fault("mount.refused", { reason: "symlink" });
    };
  expect(await codeOf(mount(sandbox.id, mountOf("data", "/other")))).toBe("mount.refused");
  expect(await codeOf(mount(newId("sbx"), mountOf("data", "/other")))).toBe("sandbox.not_found");
  expect(mountsOn(node, sandbox.id)).toEqual([["/data", "rw"]]);
  expect((await world.get(sandbox.id)).spec.volumes).toHaveLength(1);
});

it("leaves a mount that is in use where it is", async () => {
  const [node] = await nodes(["home"]);
  volumes.add("data", "home");
  const { sandbox } = await world.create({ spec: { volumes: [mountOf("data")] } });
  if (node !== undefined)
    node.mounts.onUnmount = async ({ force }) => {
      if (!force) throw fault("mount.busy", { path: "/data" });
    };
  expect(await codeOf(unmount(sandbox.id, "/data"))).toBe("mount.busy");
  expect((await world.get(sandbox.id)).spec.volumes).toHaveLength(1);
  expect((await unmount(sandbox.id, "/data", true)).sandbox.spec.volumes).toEqual([]);
});

it("takes a mount away again that could not be written down", async () => {
  const [node] = await nodes(["home"]);
  volumes.add("data", "home");
  const { sandbox } = await world.create();
  if (node !== undefined)
    node.mounts.onMounted = async () => void (await world.sql`update sandboxes set version = version + 1 where id = ${sandbox.id}`);
  expect(await codeOf(mount(sandbox.id, mountOf("data")))).toBe("sandbox.version_conflict");
  expect(mountsOn(node, sandbox.id)).toEqual([]);
  if (node !== undefined) node.mounts.onMounted = null;
  expect((await mount(sandbox.id, mountOf("data"))).sandbox.spec.volumes).toHaveLength(1);
});

it("says a run that ended meanwhile is one, and mounts nothing into another", async () => {
  const [node] = await nodes(["home"]);
  volumes.add("data", "home");
  const { sandbox } = await world.create();
  if (node !== undefined)
    node.mounts.onMount = async () => {
      node.mounts.onMount = null;
      const there = node.sandboxes.get(sandbox.id);
      if (there !== undefined) there.epoch = 2;
    };
  expect(await codeOf(mount(sandbox.id, mountOf("data")))).toBe("sandbox.version_conflict");
  expect((await world.get(sandbox.id)).spec.volumes).toEqual([]);
});

it("tells who has a volume or a version of it, in any state but deleted", async () => {
  await nodes(["home"]);
  const data = volumes.add("data", "home");
  const other = volumes.add("other", "home");
  const version = newId("ver");
  data.versions.set("first", version);
  const running = (await world.create({ spec: { volumes: [mountOf("data"), mountOf("other", "/other")] } })).sandbox;
  const pinned = (await world.create({ spec: { volumes: [mountOf("data", "/pinned", { version: "first", mode: "ro" })] } })).sandbox;
  const gone = (await world.create({ spec: { volumes: [mountOf("data")] } })).sandbox;
  await world.create();
  await world.stopSandbox(pinned.id);
  await world.remove(gone.id);
  await eventually(async () => expect(await world.rowState(gone.id)).toBe("deleted"));
  await eventually(async () => expect(await world.rowState(pinned.id)).toBe("stopped"));
  const ofPinned = { sandboxId: pinned.id, state: "stopped", path: "/pinned", mode: "ro", versionId: version };
  const ofRunning = { sandboxId: running.id, state: "running", path: "/data", mode: "rw", versionId: null };
  // Those that run first, though they are older.
  await eventually(async () => expect(await usersOf(data.id)).toEqual({ users: [ofRunning, ofPinned], forks: 0, total: 2 }));
  expect(await usersOf(data.id, version)).toEqual({ users: [ofPinned], forks: 0, total: 1 });
  expect(await usersOf(other.id)).toMatchObject({ users: [{ path: "/other" }], total: 1 });
  expect(await usersOf(newId("vol"))).toEqual({ users: [], forks: 0, total: 0 });
});

it("finds those who have a volume by an index", async () => {
  const plan = await world.sql.begin(async (sql) => {
    await sql`set local enable_seqscan = off`;
    return sql`explain select id from sandboxes
      where state <> 'deleted' and spec->'volumes' <> '[]'::jsonb and spec->'volumes' @> '[{"volume": "vol_1"}]'::jsonb`;
  });
  expect(JSON.stringify(plan)).toContain("sandboxes_by_volume");
});
