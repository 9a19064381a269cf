import { DEFAULT_LIFETIME, ListNodes, NODE_LEASE_MS } from "@banyan/contracts";
import type { FakeNode } from "@banyan/testkit";
import { afterEach, beforeEach, expect, it } from "vitest";
import { clusterOfFile, codeOf, eventually, type ShiftingClock, shiftingClock, startWorld, type World } from "./harness.ts";

const cluster = clusterOfFile();
let world: World;
let clock: ShiftingClock;
let node: FakeNode;

beforeEach(async () => {
  clock = shiftingClock();
  world = await startWorld(cluster, { clock });
  node = await world.addNode({ clock });
  await eventually(async () => expect((await world.bus.call(ListNodes, {})).nodes).toHaveLength(1));
});
afterEach(() => world.end());

const create = async (lifetime: Partial<typeof DEFAULT_LIFETIME>) =>
  (await world.create({ spec: { lifetime: { ...DEFAULT_LIFETIME, idleTimeoutS: null, ...lifetime } } })).sandbox;
const state = async (id: string) => {
  const { state, stateReason } = await world.get(id);
  return { state, stateReason };
};

it("stops what is idle and leaves what is in use", async () => {
  const idle = await create({ idleTimeoutS: 60 });
  const used = await create({ idleTimeoutS: 60 });
  clock.age(50_000);
  node.use(used.id);
  await node.beat();
  await eventually(async () => expect((await world.get(used.id)).lastActiveAt).toBeGreaterThan(used.lastActiveAt + 40_000));
  clock.age(15_000);
  await eventually(async () => expect(await state(idle.id)).toEqual({ state: "stopped", stateReason: "idle" }));
  expect((await state(used.id)).state).toBe("running");
  expect((await world.start(idle.id)).sandbox.state).toBe("running");
});

it("believes the node, which knows of a use that has not been told yet", async () => {
  const used = await create({ idleTimeoutS: 60 });
  clock.age(61_000);
  const there = node.sandboxes.get(used.id);
  if (there) there.lastActiveAt = clock.now();
  const canary = await create({ maxLifetimeS: 1, onExpiry: "stop" });
  clock.age(2_000);
  await eventually(async () => expect((await state(canary.id)).state).toBe("stopped"));
  expect((await state(used.id)).state).toBe("running");
});

it("deletes what is idle where that is asked for", async () => {
  const idle = await create({ idleTimeoutS: 60, onIdle: "delete" });
  clock.age(61_000);
  await eventually(async () => expect(await codeOf(world.get(idle.id))).toBe("sandbox.not_found"));
  expect(node.sandboxes.has(idle.id)).toBe(false);
});

it("does not let the idle clock run while the node is away", async () => {
  const idle = await create({ idleTimeoutS: 60 });
  await node.vanish();
  clock.elapse(NODE_LEASE_MS);
  await eventually(async () => expect((await world.bus.call(ListNodes, {})).nodes[0]?.reachable).toBe(false));
  clock.age(300_000);
  await node.comeBack();
  await eventually(async () => expect((await world.bus.call(ListNodes, {})).nodes[0]?.reachable).toBe(true));
  const canary = await create({ maxLifetimeS: 1, onExpiry: "stop" });
  clock.age(2_000);
  await eventually(async () => expect((await state(canary.id)).state).toBe("stopped"));
  expect((await state(idle.id)).state).toBe("running");
  clock.age(60_000);
  await eventually(async () => expect(await state(idle.id)).toEqual({ state: "stopped", stateReason: "idle" }));
});

it("deletes what has expired, running or stopped", async () => {
  await create({ maxLifetimeS: 100 });
  const rests = await create({ maxLifetimeS: 100 });
  const stays = await create({ maxLifetimeS: 1_000 });
  await world.stopSandbox(rests.id);
  clock.age(101_000);
  await eventually(async () => expect((await world.list()).sandboxes.map(({ id }) => id)).toEqual([stays.id]));
  await eventually(() => expect([...node.sandboxes.keys()]).toEqual([stays.id]));
});

it("stops at expiry once, and lets it be started again", async () => {
  const sandbox = await create({ maxLifetimeS: 100, onExpiry: "stop" });
  clock.age(101_000);
  await eventually(async () => expect(await state(sandbox.id)).toEqual({ state: "stopped", stateReason: "expired" }));
  await world.start(sandbox.id);
  const canary = await create({ maxLifetimeS: 1, onExpiry: "stop" });
  clock.age(2_000);
  await eventually(async () => expect((await state(canary.id)).state).toBe("stopped"));
  expect((await state(sandbox.id)).state).toBe("running");
});

it("remembers activity over a restart", async () => {
  const sandbox = await create({ idleTimeoutS: 600 });
  clock.age(100_000);
  node.use(sandbox.id);
  await node.beat();
  const used = await eventually(async () => {
    const [row] = await world.sql<{ at: string }[]>`select last_active_at as at from sandboxes where id = ${sandbox.id}`;
    expect(Number(row?.at)).toBeGreaterThan(sandbox.lastActiveAt + 90_000);
    return Number(row?.at);
  });
  await world.stopScheduler();
  await world.startScheduler();
  expect((await world.get(sandbox.id)).lastActiveAt).toBeGreaterThanOrEqual(used);
});
