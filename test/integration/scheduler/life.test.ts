import {
  DeleteSandbox,
  GetSandbox,
  GetUsage,
  type InputOf,
  ListNodes,
  RouteSandbox,
  SandboxChanged,
  UpdateSandbox,
} from "@banyan/contracts";
import { newId } from "@banyan/kernel";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type Cluster, codeOf, eventually, LARGE_QUOTA, readyNodes, startCluster, startWorld, type World } from "./harness.ts";

let cluster: Cluster;
let world: World;

beforeAll(async () => {
  cluster = await startCluster();
  world = await startWorld(cluster);
  await readyNodes(world, 2);
  await eventually(async () => expect((await world.bus.call(ListNodes, {})).nodes).toHaveLength(2));
});
afterAll(async () => {
  await world?.end();
  await cluster?.stop();
});

it("creates a sandbox that runs, is found, and says where it is", async () => {
  const { sandbox, route, path, timing } = await world.create({ spec: { labels: { team: "a" }, env: { FROM_SPEC: "too" } } });
  expect(sandbox).toMatchObject({ state: "running", epoch: 1, spec: { labels: { team: "a" } } });
  expect(path).toBe("warm");
  expect(timing.totalMs).toBeGreaterThan(0);
  expect(await world.get(sandbox.id)).toEqual(sandbox);
  const node = world.nodes.find(({ nodeId }) => nodeId === sandbox.nodeId);
  expect(node?.orders.at(-1)).toMatchObject({
    fresh: true,
    env: { FROM_IMAGE: "yes", FROM_SPEC: "too" },
    workdir: "/home/agent",
    user: "agent",
  });
  expect(await world.bus.call(RouteSandbox, { orgId: world.orgId, id: sandbox.id })).toEqual(route);
});

it("stops, starts with the next epoch on the same disk, and deletes", async () => {
  const { sandbox } = await world.create();
  expect((await world.stopSandbox(sandbox.id)).sandbox).toMatchObject({ state: "stopped", epoch: 1 });
  const again = await world.start(sandbox.id);
  expect(again.sandbox).toMatchObject({ state: "running", epoch: 2, nodeId: sandbox.nodeId });
  const node = world.nodes.find(({ nodeId }) => nodeId === sandbox.nodeId);
  expect(node?.orders.at(-1)).toMatchObject({ sandboxId: sandbox.id, epoch: 2, fresh: false });
  expect(await world.remove(sandbox.id)).toEqual({ state: "deleted" });
  expect(node?.sandboxes.has(sandbox.id)).toBe(false);
  expect(await codeOf(world.get(sandbox.id))).toBe("sandbox.not_found");
  expect(await world.remove(sandbox.id)).toEqual({ state: "deleted" });
});

it("refuses what the table does not allow", async () => {
  const { sandbox } = await world.create();
  expect(await codeOf(world.start(sandbox.id))).toBe("sandbox.illegal_transition");
  await world.stopSandbox(sandbox.id);
  expect(await codeOf(world.stopSandbox(sandbox.id))).toBe("sandbox.illegal_transition");
  expect(await codeOf(world.bus.call(RouteSandbox, { orgId: world.orgId, id: sandbox.id }))).toBe("sandbox.not_running");
});

it("answers a repeated create like the first, while it runs and after it", async () => {
  const id = newId("sbx");
  const [first, second] = await Promise.all([world.create({ id }), world.create({ id })]);
  expect(second).toEqual(first);
  const third = await world.create({ id });
  expect(third.sandbox.nodeId).toBe(first.sandbox.nodeId);
  expect(third.timing).toEqual(first.timing);
  expect(world.nodes.flatMap(({ orders }) => orders).filter(({ sandboxId }) => sandboxId === id)).toHaveLength(1);
});

it("refuses an unknown image and leaves nothing", async () => {
  const id = newId("sbx");
  expect(await codeOf(world.create({ id, spec: { image: "missing" } }))).toBe("image.not_found");
  expect(await codeOf(world.create({ spec: { image: "missing" } }))).toBe("image.not_found");
  expect(world.imagesAsked.filter((name) => name === "missing")).toHaveLength(2);
  expect(await world.rowState(id)).toBeNull();
});

it("asks once for the image of a burst", async () => {
  const before = world.imagesAsked.length;
  await Promise.all(Array.from({ length: 20 }, () => world.create({ spec: { image: "burst" } })));
  expect(world.imagesAsked.slice(before)).toEqual(["burst"]);
});

it("lists newest first, in pages, by label and by state", async () => {
  const orgId = newId("org");
  const ids: string[] = [];
  for (let i = 0; i < 5; i++)
    ids.push((await world.create({ orgId, spec: { labels: { parity: i % 2 ? "odd" : "even", n: String(i) } } })).sandbox.id);
  const newest = ids.toReversed();
  const first = await world.list({ orgId, limit: 2 });
  expect(first.sandboxes.map(({ id }) => id)).toEqual(newest.slice(0, 2));
  const second = await world.list({ orgId, limit: 2, cursor: first.nextCursor });
  const third = await world.list({ orgId, limit: 2, cursor: second.nextCursor });
  expect([...second.sandboxes, ...third.sandboxes].map(({ id }) => id)).toEqual(newest.slice(2));
  expect(third.nextCursor).toBeNull();
  expect((await world.list({ orgId, labels: { parity: "odd" } })).sandboxes.map(({ id }) => id)).toEqual([ids[3], ids[1]]);
  expect((await world.list({ orgId, labels: { parity: "odd", n: "2" } })).sandboxes).toEqual([]);
  await world.bus.call(DeleteSandbox, { orgId, id: ids[0] ?? "" });
  expect((await world.list({ orgId })).sandboxes).toHaveLength(4);
  expect((await world.list({ orgId, states: ["deleted"] })).sandboxes.map(({ id }) => id)).toEqual([ids[0]]);
  expect((await world.list({ orgId, states: ["stopped"] })).sandboxes).toEqual([]);
});

it("lets labels and lifetime be changed, and removes a label set to null", async () => {
  const { sandbox } = await world.create({ spec: { labels: { keep: "1", drop: "2" } } });
  const update = (change: Omit<InputOf<typeof UpdateSandbox>, "orgId" | "id">) =>
    world.bus.call(UpdateSandbox, { orgId: world.orgId, id: sandbox.id, ...change });
  const { sandbox: updated } = await update({ labels: { drop: null, add: "3" }, lifetime: { maxLifetimeS: 60 } });
  expect(updated.spec.labels).toEqual({ keep: "1", add: "3" });
  expect(updated).toMatchObject({ expiresAt: sandbox.createdAt + 60_000, spec: { lifetime: { maxLifetimeS: 60, idleTimeoutS: 900 } } });
  expect(await world.get(sandbox.id)).toEqual(updated);
  expect(await codeOf(update({ labels: { "bad key!": "x" } }))).toBe("request.invalid");
  const other = await startWorld(cluster, { withoutScheduler: true });
  expect(await codeOf(update({ labels: Object.fromEntries(Array.from({ length: 40 }, (_, i) => [`k${i}`, ""])) }))).toBe("request.invalid");
  await other.end();
});

it("shows another organisation nothing", async () => {
  const { sandbox } = await world.create();
  const foreign = { orgId: newId("org"), id: sandbox.id };
  expect(await codeOf(world.bus.call(GetSandbox, foreign))).toBe("sandbox.not_found");
  expect(await codeOf(world.bus.call(DeleteSandbox, foreign))).toBe("sandbox.not_found");
  expect(await codeOf(world.bus.call(RouteSandbox, foreign))).toBe("sandbox.not_found");
  expect(await codeOf(world.bus.call(UpdateSandbox, { ...foreign, labels: {} }))).toBe("sandbox.not_found");
  expect((await world.list({ orgId: foreign.orgId })).sandboxes).toEqual([]);
  expect(await codeOf(world.create({ ...foreign }))).toBe("sandbox.start_failed");
  expect((await world.get(sandbox.id)).state).toBe("running");
});

it("keeps the quota exact under a hundred creates at once", async () => {
  const orgId = newId("org");
  const quota = { ...LARGE_QUOTA, cpu: 30 };
  const codes = await Promise.all(Array.from({ length: 100 }, () => codeOf(world.create({ orgId, quota }))));
  expect(codes.filter((code) => code === "no error")).toHaveLength(30);
  expect(codes.filter((code) => code === "sandbox.quota_exceeded")).toHaveLength(70);
  expect((await world.bus.call(GetUsage, { orgId })).usage).toEqual({ sandboxes: 30, cpu: 30, memoryMb: 30 * 1024 });
  expect((await world.list({ orgId })).sandboxes).toHaveLength(30);
});

it("counts a stopped sandbox without its cpu and memory, and checks them again at its start", async () => {
  const orgId = newId("org");
  const { sandbox } = await world.create({ orgId });
  const ref = { orgId, id: sandbox.id };
  const { StopSandbox, StartSandbox } = await import("@banyan/contracts");
  await world.bus.call(StopSandbox, { ...ref, graceMs: 0 });
  expect((await world.bus.call(GetUsage, { orgId })).usage).toEqual({ sandboxes: 1, cpu: 0, memoryMb: 0 });
  const start = { ...ref, deadlineMs: 1_000, quota: { ...LARGE_QUOTA, memoryMb: 512 } };
  expect(await codeOf(world.bus.call(StartSandbox, start))).toBe("sandbox.quota_exceeded");
  expect((await world.bus.call(GetSandbox, ref)).sandbox.state).toBe("stopped");
});

it("says every change once, in order", async () => {
  const said: InputOf<typeof SandboxChanged>[] = [];
  const listening = world.bus.onEvents(SandboxChanged, { durable: `test-${newId("req")}` }, async (event) => void said.push(event));
  const { sandbox } = await world.create();
  await world.stopSandbox(sandbox.id);
  await world.remove(sandbox.id);
  const own = () => said.filter(({ sandboxId }) => sandboxId === sandbox.id).map(({ from, to }) => `${from} > ${to}`);
  await eventually(() =>
    expect(own()).toEqual([
      "null > starting",
      "starting > running",
      "running > stopping",
      "stopping > stopped",
      "stopped > deleting",
      "deleting > deleted",
    ]),
  );
  await listening.stop();
  const [{ count } = { count: -1 }] = await world.sql<{ count: number }[]>`select count(*)::int as count from outbox`;
  expect(count).toBe(0);
  const audit = await world.sql`select version from transitions where sandbox_id = ${sandbox.id} order by version`;
  expect(audit.map(({ version }) => version)).toEqual([1, 2, 3, 4, 5, 6]);
});
