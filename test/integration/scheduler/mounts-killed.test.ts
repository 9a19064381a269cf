import { fault, ListNodes, ListVolumeUsers, MountVolume, UnmountVolume, type VolumeMount } from "@banyan/contracts";
import { newId } from "@banyan/kernel";
import { type FakeNode, type FakeVolume, type FakeVolumes, fakeVolumes } from "@banyan/testkit";
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from "vitest";
import { type Cluster, codeOf, eventually, startCluster, startWorld, type World } from "./harness.ts";
import { type SchedulerProcess, spawnScheduler } from "./scheduler-process.ts";

/** Of a scheduler that starts on a busy machine. */
const PATIENT = { timeoutMs: 30_000 };
const TEST_MS = 90_000;
/** A scheduler that was killed does not answer. */
const CALL = { deadlineMs: 5_000 };

let cluster: Cluster;
let world: World;
let volumes: FakeVolumes;
let data: FakeVolume;
let node: FakeNode;
let scheduler: SchedulerProcess;

beforeAll(async () => {
  cluster = await startCluster();
});
afterAll(() => cluster?.stop());
beforeEach(async () => {
  world = await startWorld(cluster, { withoutScheduler: true });
  volumes = fakeVolumes(world.bus);
  data = volumes.add("data", "home");
  node = await world.addNode({ stores: ["home"] });
  await restart();
}, TEST_MS);
afterEach(async () => {
  await scheduler.kill();
  await volumes.stop();
  await world.end();
});

async function restart(): Promise<void> {
  scheduler = await spawnScheduler(world);
  await eventually(async () => expect((await world.bus.call(ListNodes, {})).nodes).toHaveLength(1), PATIENT);
}

const wanted = (): VolumeMount => ({ volume: data.id, version: null, path: "/data", subpath: "", mode: "rw" });
const mount = (id: string) => world.bus.call(MountVolume, { orgId: world.orgId, id, mount: wanted() }, CALL);
const unmount = (id: string, force = false) => world.bus.call(UnmountVolume, { orgId: world.orgId, id, path: "/data", force }, CALL);
const users = () => world.bus.call(ListVolumeUsers, { volumeId: data.id, versionId: null });
const declared = async (id: string) => (await world.get(id)).spec.volumes.map(({ path }) => path);
const mounted = (id: string) => (node.sandboxes.get(id)?.order.mounts ?? []).map(({ path }) => path);
const intents = async (): Promise<number> => (await world.sql`select 1 from mount_intents`).length;

/** Row, run and what counts as in use say the same, and nothing is left open. `paths`: what they say; null: whatever they agree on. */
const agreed = (id: string, paths: string[] | null) =>
  eventually(async () => {
    expect(await intents()).toBe(0);
    const said = paths ?? (await declared(id));
    expect({ declared: await declared(id), mounted: mounted(id), total: (await users()).total }).toEqual({
      declared: said,
      mounted: said,
      total: said.length,
    });
  }, PATIENT);

/** Begins something whose row cannot be written, and kills the scheduler when it waits for that. What becomes of the write is the caller's to say. */
async function killAtRow(id: string, begin: () => Promise<unknown>, then: "lost" | "late"): Promise<void> {
  // What the create still writes would wait for the lock, and all else behind it.
  await eventually(async () => expect(await world.rowState(id)).toBe("running"), PATIENT);
  const release = Promise.withResolvers<void>();
  const holding = Promise.withResolvers<void>();
  const held = world.sql.begin(async (sql) => {
    await sql`select 1 from sandboxes where id = ${id} for update`;
    holding.resolve();
    await release.promise;
  });
  await holding.promise;
  const begun = codeOf(begin());
  const waiting = () =>
    world.sql<
      { pid: number }[]
    >`select pid from pg_stat_activity where wait_event_type = 'Lock' and query like '%mount_intents using declared%'`;
  try {
    await eventually(async () => expect(await waiting()).toHaveLength(1), PATIENT);
    await scheduler.kill();
    expect(await begun).not.toBe("no error");
    if (then === "lost") for (const { pid } of await waiting()) await world.sql`select pg_terminate_backend(${pid})`;
    else await restart();
  } finally {
    release.resolve();
  }
  await held;
  if (then === "lost") await restart();
}

it("counts a mount as in use from before it is made, and takes it away again where the scheduler was killed before its row", {
  timeout: TEST_MS,
}, async () => {
  const { sandbox } = await world.create();
  const killed = Promise.withResolvers<void>();
  const settling = Promise.withResolvers<void>();
  node.mounts.onMounted = () => killed.promise;
  node.mounts.onUnmount = () => settling.promise;
  const mounting = codeOf(mount(sandbox.id));
  await eventually(() => expect(mounted(sandbox.id)).toEqual(["/data"]));
  await scheduler.kill();
  killed.resolve();
  expect(await mounting).not.toBe("no error");
  await restart();
  // As long as the node has not taken it away.
  expect(await users()).toEqual({
    users: [{ sandboxId: sandbox.id, state: "running", path: "/data", mode: "rw", versionId: null }],
    forks: 0,
    total: 1,
  });
  settling.resolve();
  await agreed(sandbox.id, []);
  node.mounts.onMounted = null;
  await mount(sandbox.id);
  await agreed(sandbox.id, ["/data"]);
});

it.each(["lost", "late"] as const)(
  "makes row and run agree where a killed scheduler's write of a mount is %s",
  { timeout: TEST_MS },
  async (then) => {
    const { sandbox } = await world.create();
    await killAtRow(sandbox.id, () => mount(sandbox.id), then);
    // Whether a late one was in time is the database's to say.
    await agreed(sandbox.id, then === "lost" ? [] : null);
  },
);

it.each(["lost", "late"] as const)(
  "finishes an unmount where a killed scheduler's write of it is %s",
  { timeout: TEST_MS },
  async (then) => {
    const { sandbox } = await world.create({ spec: { volumes: [wanted()] } });
    await killAtRow(sandbox.id, () => unmount(sandbox.id), then);
    await agreed(sandbox.id, []);
  },
);

it("leaves a mount where it is that was in use when the scheduler was killed over its unmount", { timeout: TEST_MS }, async () => {
  const { sandbox } = await world.create({ spec: { volumes: [wanted()] } });
  const killed = Promise.withResolvers<void>();
  node.mounts.onUnmount = async ({ force }) => {
    await killed.promise;
    if (!force) throw fault("mount.busy", { path: "/data" });
  };
  const unmounting = codeOf(unmount(sandbox.id));
  await eventually(async () => expect(await intents()).toBe(1));
  await scheduler.kill();
  killed.resolve();
  expect(await unmounting).not.toBe("no error");
  await restart();
  await agreed(sandbox.id, ["/data"]);
});

it("says of an unmount that is asked for again what the first one came to", { timeout: TEST_MS }, async () => {
  const { sandbox } = await world.create({ spec: { volumes: [wanted()] } });
  const killed = Promise.withResolvers<void>();
  node.mounts.onUnmount = () => killed.promise;
  const unmounting = codeOf(unmount(sandbox.id));
  await eventually(async () => expect(await intents()).toBe(1));
  await scheduler.kill();
  expect(await unmounting).not.toBe("no error");
  await restart();
  // The loop waits for the node, and this behind it; or it is done first.
  const again = codeOf(unmount(sandbox.id));
  killed.resolve();
  expect(["no error", "mount.not_found"]).toContain(await again);
  await agreed(sandbox.id, []);
});

it("forgets what was being mounted in a run that has ended", { timeout: TEST_MS }, async () => {
  const { sandbox } = await world.create();
  const killed = Promise.withResolvers<void>();
  node.mounts.onMounted = () => killed.promise;
  const mounting = codeOf(mount(sandbox.id));
  await eventually(() => expect(mounted(sandbox.id)).toEqual(["/data"]));
  await scheduler.kill();
  killed.resolve();
  await mounting;
  const there = node.sandboxes.get(sandbox.id);
  if (there !== undefined) Object.assign(there, { state: "stopped", order: { ...there.order, mounts: [] } });
  await restart();
  await eventually(async () => expect(await world.rowState(sandbox.id)).toBe("stopped"), PATIENT);
  await agreed(sandbox.id, []);
});

it("leaves nothing of a mount whose sandbox is deleted meanwhile", { timeout: TEST_MS }, async () => {
  const { sandbox } = await world.create();
  const made = Promise.withResolvers<void>();
  node.mounts.onMounted = () => made.promise;
  const mounting = codeOf(mount(sandbox.id));
  await eventually(() => expect(mounted(sandbox.id)).toEqual(["/data"]));
  await world.remove(sandbox.id);
  made.resolve();
  expect(await mounting).not.toBe("no error");
  await eventually(async () => {
    expect(await world.rowState(sandbox.id)).toBe("deleted");
    expect(await intents()).toBe(0);
    expect((await users()).total).toBe(0);
  }, PATIENT);
});

it("has what a lost node runs in use, and what was lost with its disk not", { timeout: TEST_MS }, async () => {
  const both = [newId("sbx"), newId("sbx")] as const;
  for (const id of both) await world.create({ id, spec: { volumes: [wanted()] } });
  await eventually(async () => expect((await users()).users.every(({ state }) => state === "running")).toBe(true));
  await scheduler.kill();
  await node.vanish();
  await world.sql`update sandboxes set state = 'failed', state_reason = 'node_lost' where id = ${both[0]}`;
  await world.sql`update sandboxes set state = 'failed', state_reason = 'disk_lost' where id = ${both[1]}`;
  scheduler = await spawnScheduler(world);
  const seen = await eventually(async () => {
    const answer = await users().catch(() => null);
    return answer !== null && answer;
  }, PATIENT);
  expect(seen.users.map(({ sandboxId, mayRun }) => [sandboxId, mayRun === true])).toEqual([
    [both[0], true],
    [both[1], false],
  ]);
});
