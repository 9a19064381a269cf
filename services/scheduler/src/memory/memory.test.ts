import { DEFAULT_RESOURCES, NODE_LEASE_MS, type NodeHeartbeat, SANDBOX_STATES } from "@banyan/contracts";
import { newId } from "@banyan/kernel";
import fc from "fast-check";
import { expect, it } from "vitest";
import { sandboxOf } from "../domain/sandbox.fixture.ts";
import { Lanes } from "./lanes.ts";
import { LateWrites } from "./late-writes.ts";
import { Ledger } from "./ledger.ts";
import { Nodes } from "./nodes.ts";

it("keeps sums that are the sums of what is in it", () => {
  const step = fc.record({
    id: fc.nat(5),
    state: fc.constantFrom(...SANDBOX_STATES),
    cpu: fc.constantFrom(0.05, 0.1, 0.7, 3),
    node: fc.constantFrom("a", "b"),
  });
  const ids = Array.from({ length: 6 }, () => newId("sbx"));
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const ledger = new Ledger();
      const orgId = "org";
      for (const { id, state, cpu, node } of steps) {
        const one = sandboxOf({ id: ids[id] ?? "", orgId, state, nodeId: node, deadlineAt: null });
        ledger.follow({ ...one, spec: { ...one.spec, resources: { ...DEFAULT_RESOURCES, cpu } } });
      }
      const entries = [...ledger.entries()];
      const active = entries.filter(({ state }) => ["starting", "running", "stopping"].includes(state));
      expect(ledger.usage(orgId).cpu).toBeCloseTo(
        active.reduce((sum, { resources }) => sum + resources.cpu, 0),
        9,
      );
      expect(ledger.usage(orgId).sandboxes).toBe(entries.filter(({ state }) => state !== "deleting").length);
      const onA = entries.filter(({ nodeId }) => nodeId === "a");
      expect(ledger.usedOn("a").diskMb).toBe(onA.length * DEFAULT_RESOURCES.diskMb);
      for (const entry of entries) ledger.remove(entry.id);
      expect([ledger.usage(orgId), ledger.usedOn("a")]).toEqual([
        { sandboxes: 0, cpu: 0, memoryMb: 0 },
        { cpu: 0, memoryMb: 0, diskMb: 0, sandboxes: 0 },
      ]);
    }),
  );
});

it("runs one command at a time for each sandbox, in order, and others beside", async () => {
  const lanes = new Lanes();
  const done: string[] = [];
  const gate = Promise.withResolvers<void>();
  const first = lanes.run("x", () => gate.promise.then(() => done.push("x1")));
  const second = lanes.run("x", async () => done.push("x2"));
  await lanes.run("y", async () => done.push("y1"));
  expect(done).toEqual(["y1"]);
  gate.resolve();
  await Promise.all([first, second]);
  expect(done).toEqual(["y1", "x1", "x2"]);
  await lanes.idle();
  expect(lanes.isBusy("x")).toBe(false);
});

it("lets a delete end what is under way and what waits, but no other delete", async () => {
  const lanes = new Lanes();
  const ends = (signal: AbortSignal) => new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
  const under = lanes.run("x", ends);
  const waiting = lanes.run("x", async () => "ran");
  const first = lanes.preempt("x", async () => "deleted");
  const second = lanes.preempt("x", async () => "deleted too");
  await expect(under).rejects.toMatchObject({ code: "sandbox.version_conflict" });
  await expect(waiting).rejects.toMatchObject({ code: "sandbox.version_conflict" });
  expect(await Promise.all([first, second])).toEqual(["deleted", "deleted too"]);
});

it("bounds how many commands wait for one sandbox", async () => {
  const lanes = new Lanes();
  const gate = Promise.withResolvers<void>();
  const all = Array.from({ length: 40 }, () => lanes.run("x", () => gate.promise));
  gate.resolve();
  const ends = await Promise.allSettled(all);
  expect(ends.filter(({ status }) => status === "rejected")).toHaveLength(8);
  await expect(lanes.run("x", async () => "free again")).resolves.toBe("free again");
});

it("keeps a write that failed and tries it again when it is asked for", async () => {
  const failures: unknown[] = [];
  const late = new LateWrites((_id, error) => failures.push(error));
  let away = true;
  const write = async () => {
    if (away) throw new Error("away");
  };
  late.add("x", "org", write);
  await expect(late.settle("x")).rejects.toThrow("away");
  await expect(late.settleOrg("org")).rejects.toThrow("away");
  await late.settleOrg("other");
  expect(late.failed()).toEqual(["x"]);
  away = false;
  await late.settle("x");
  expect(late.failed()).toEqual([]);
  expect(failures).toHaveLength(2);
});

const beat = (changes: Partial<NodeHeartbeat> = {}): NodeHeartbeat => ({
  nodeId: "a",
  url: "http://a:1",
  version: "1",
  labels: {},
  startedAt: 1,
  state: "ready",
  capacity: { cpu: 8, memoryMb: 8_192, diskMb: 100_000, sandboxes: 10 },
  used: { cpu: 0, memoryMb: 0, diskMb: 0, sandboxes: 0 },
  pool: { target: 4, free: 4, starting: 0, waiting: 0 },
  layers: [],
  activity: [],
  stores: [],
  at: 1,
  ...changes,
});

function nodesAt(): { nodes: Nodes; ledger: Ledger; time: { ms: number }; joined: string[] } {
  const time = { ms: 0 };
  const ledger = new Ledger();
  const nodes = new Nodes(ledger, { now: () => time.ms, monotonicMs: () => time.ms, sleep: () => Promise.resolve() });
  const joined: string[] = [];
  nodes.onJoined((nodeId) => joined.push(nodeId));
  return { nodes, ledger, time, joined };
}

it("ends a lease that runs out, and takes no old heartbeat for a sign of life", () => {
  const { nodes, time } = nodesAt();
  nodes.beat(beat({ at: 5 }));
  time.ms = NODE_LEASE_MS - 1;
  nodes.beat(beat({ at: 5 }));
  expect(nodes.expire()).toEqual([]);
  time.ms = NODE_LEASE_MS;
  expect(nodes.expire()).toEqual(["a"]);
  expect([nodes.isReachable("a"), nodes.reachableSince("a"), nodes.views()[0]?.reachable]).toEqual([false, null, false]);
  nodes.beat(beat({ at: 6 }));
  expect(nodes.reachableSince("a")).toBe(NODE_LEASE_MS);
});

it("says that a node joined when it is new, restarted or back, once it has adopted what it had", () => {
  const { nodes, joined } = nodesAt();
  nodes.beat(beat({ state: "joining", at: 1 }));
  expect([joined.length, nodes.isListable("a")]).toEqual([0, false]);
  nodes.beat(beat({ at: 2 }));
  nodes.beat(beat({ at: 3 }));
  expect(joined).toHaveLength(1);
  nodes.beat(beat({ at: 4, startedAt: 2 }));
  expect(joined).toHaveLength(2);
  nodes.leave("a");
  nodes.beat(beat({ at: 5, startedAt: 2 }));
  expect(joined).toHaveLength(3);
});

it("counts what was sent to a node since its last heartbeat", () => {
  const { nodes, ledger } = nodesAt();
  nodes.beat(beat());
  const settled = nodes.reserve("a");
  nodes.reserve("a");
  expect(nodes.candidate("a")?.slotsFree).toBe(2);
  settled();
  expect(nodes.candidate("a")?.slotsFree).toBe(2);
  nodes.beat(beat({ at: 2, pool: { target: 4, free: 3, starting: 0, waiting: 0 } }));
  expect(nodes.candidate("a")?.slotsFree).toBe(2);
  ledger.follow(sandboxOf({ nodeId: "a" }));
  expect(nodes.candidate("a")?.used).toMatchObject({ cpu: 1, sandboxes: 1 });
});

it("asks others before a node that has missed some heartbeats, and forgets one that stays away", () => {
  const { nodes, time } = nodesAt();
  nodes.beat(beat());
  time.ms = 2_999;
  expect(nodes.candidate("a")).toMatchObject({ reachable: true, slotsFree: 4 });
  time.ms = 3_000;
  expect(nodes.candidate("a")).toMatchObject({ reachable: true, slotsFree: 0 });
  time.ms = 24 * 3_600_000;
  nodes.expire();
  expect(nodes.ids()).toEqual([]);
});

it("counts the silence of a node it has never seen from when it was first asked about", () => {
  const { nodes, time } = nodesAt();
  expect(nodes.silentMs("ghost")).toBe(0);
  time.ms = 70;
  expect(nodes.silentMs("ghost")).toBe(70);
});

it("does not blame nodes for its own absence", () => {
  const { nodes, time } = nodesAt();
  nodes.beat(beat());
  time.ms = NODE_LEASE_MS * 3;
  nodes.excuse();
  expect(nodes.expire()).toEqual([]);
});
