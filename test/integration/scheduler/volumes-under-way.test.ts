import { ArchiveSandbox, ListNodes, ListVolumeUsers, MountVolume, type VolumeMount } from "@banyan/contracts";
import { newId } from "@banyan/kernel";
import { type FakeVolume, type FakeVolumes, fakeVolumes } from "@banyan/testkit";
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from "vitest";
import { fork } from "./fork-harness.ts";
import { type Cluster, eventually, startCluster, startWorld, type World } from "./harness.ts";

let cluster: Cluster;
let world: World;
let volumes: FakeVolumes;
let data: FakeVolume;

beforeAll(async () => {
  cluster = await startCluster();
});
afterAll(() => cluster?.stop());
beforeEach(async () => {
  world = await startWorld(cluster);
  volumes = fakeVolumes(world.bus);
  data = volumes.add("data", "home");
  await world.addNode({ stores: ["home"] });
  await eventually(async () => expect((await world.bus.call(ListNodes, {})).nodes).toHaveLength(1));
});
afterEach(async () => {
  await volumes.stop();
  await world.end();
});

const mountOf = (volume: string): VolumeMount => ({ volume, version: null, path: "/data", subpath: "", mode: "rw" });
const users = () => world.bus.call(ListVolumeUsers, { volumeId: data.id, versionId: null });

it.each(["create", "start", "mount", "fork"] as const)("counts a %s before any row tells of it", async (what) => {
  const spec = { volumes: [mountOf("data")] };
  const id = newId("sbx");
  if (what === "mount") await world.create({ id });
  if (what === "start") {
    await world.create({ id, spec });
    await world.stopSandbox(id);
    await eventually(async () => expect((await users()).users).toMatchObject([{ state: "stopped" }]));
  }
  const begin: Record<typeof what, () => Promise<unknown>> = {
    create: () => world.create({ id, spec }),
    start: () => world.start(id),
    mount: () => world.bus.call(MountVolume, { orgId: world.orgId, id, mount: mountOf("data") }),
    fork: () => fork(world, spec),
  };
  const asked = Promise.withResolvers<void>();
  const resolving = Promise.withResolvers<void>();
  volumes.onResolve = () => {
    asked.resolve();
    return resolving.promise;
  };
  const doing = begin[what]();
  await asked.promise;
  // Nobody has said yet what the name stands for, and nothing is written down.
  const answer = users();
  await world.bus.flush();
  resolving.resolve();
  const { users: found, forks, total } = await answer;
  // A fork may be counted twice, when its row has come meanwhile.
  if (what === "fork") expect({ found, total }).toEqual({ found: [], total: Math.max(forks, 1) });
  else expect({ found, forks, total }).toMatchObject({ found: [{ sandboxId: id, state: "starting" }], forks: 0, total: 1 });
  await doing;
});

it("counts what has been archived, and children that are still to be made", async () => {
  const { sandbox } = await world.create({ spec: { volumes: [mountOf("data")] } });
  await world.stopSandbox(sandbox.id);
  await world.bus.call(ArchiveSandbox, { orgId: world.orgId, id: sandbox.id });
  await eventually(async () => expect(await users()).toMatchObject({ users: [{ sandboxId: sandbox.id, state: "stopped" }], total: 1 }));
  // No node has room for its children: they wait.
  for (const node of world.nodes) await node.stop();
  await fork(world, { volumes: [mountOf("data")] });
  expect(await users()).toMatchObject({ forks: 1, total: 2 });
});
