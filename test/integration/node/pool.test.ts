import { deleteSandbox, startSandbox, stopSandbox } from "@banyan/runner-agent";
import { eventually } from "@banyan/testkit";
import { afterAll, beforeAll, expect, it } from "vitest";
import { cgroupsOf, footprint, NOTHING } from "./footprint.ts";
import { start, stopOf, type TestNode, testNode } from "./test-node.ts";

const BURST = 50;

let node: TestNode;
let ended = false;
beforeAll(async () => {
  node = await testNode({
    pool: { target: 20, parallel: 3, perS: 50, slotsMax: 60, quietMs: 0 },
    overcommit: { cpu: 100, memory: 20, disk: 100 },
  });
});
afterAll(async () => {
  if (!ended) await node?.end();
});

/** Waits until the pool is full. */
const full = () => eventually(() => node.parts.pool.status.free === node.config.pool.target, { timeoutMs: 40_000 });

it("runs 50 sandboxes that were asked for at once, each in a slot of its own", async () => {
  await full();
  const orders = Array.from({ length: BURST }, () => node.order());
  const answers = await Promise.all(orders.map((order) => start(node, order)));
  expect(new Set(answers.map(({ path }) => path))).toEqual(new Set(["warm", "cold"]));
  expect(new Set(orders.map(({ sandboxId }) => node.parts.registry.get(sandboxId)?.run?.slot.id)).size).toBe(BURST);
  await Promise.all(orders.map((order) => node.sh(order, `echo ${order.sandboxId} > /who`)));
  const seen = await Promise.all(orders.map(async (order) => (await node.sh(order, "cat /who")).out.trim()));
  expect(seen).toEqual(orders.map(({ sandboxId }) => sandboxId));
  await Promise.all(orders.map((order) => deleteSandbox(node.parts, order)));
});

it("answers in time that there is no slot, with a moment to try again", async () => {
  await full();
  const { pool } = node.parts;
  const taken = Array.from({ length: 20 }, () => pool.take());
  const slow = node.order({ deadlineMs: 1 });
  const beganAt = performance.now();
  const answer = await startSandbox(node.parts, slow);
  expect(answer).toMatchObject({ kind: "refused", reason: "no_slot" });
  expect(answer.kind === "refused" && answer.retryAfterMs).toBeGreaterThan(0);
  expect(performance.now() - beganAt).toBeLessThan(1_000);
  expect(node.parts.disk.driver.has(slow.sandboxId)).toBe(false);
  expect(node.parts.registry.get(slow.sandboxId)).toBeUndefined();
  for (const slot of taken) if (slot !== null) pool.release(slot);
});

it("takes another slot when the one in hand is dead", async () => {
  await full();
  for (const slot of node.parts.pool.freeSlots().slice(0, 10)) process.kill(slot.pid, "SIGKILL");
  const orders = Array.from({ length: 5 }, () => node.order());
  for (const order of orders) await start(node, order);
  for (const order of orders) expect((await node.sh(order, "echo here")).out).toBe("here\n");
});

it("says when a sandbox's slot dies, keeps its disk, and starts it again", async () => {
  const order = node.order();
  await start(node, order);
  await node.sh(order, "echo kept > /file; sync");
  const slot = node.parts.registry.get(order.sandboxId)?.run?.slot;
  process.kill(slot?.pid ?? 0, "SIGKILL");
  await eventually(() => expect(node.died).toContainEqual({ sandboxId: order.sandboxId, epoch: 1 }));
  expect(await stopSandbox(node.parts, stopOf(order))).toEqual({ outcome: "stopped" });
  const again = { ...order, epoch: 2, fresh: false };
  await start(node, again);
  expect((await node.sh(again, "cat /file")).out).toBe("kept\n");
});

it("leaves nothing behind after a purge but the image with the stopped disks", async () => {
  const before = await footprint(node);
  expect(before.containers.length).toBeGreaterThan(0);
  expect(before.links).toContain(node.parts.network.bridge);
  ended = true;
  await node.stop("purge");
  // Whoever copies the mounts of this host at this moment holds the loop device a little longer.
  await eventually(async () => expect(await footprint(node)).toEqual(NOTHING));
  expect(cgroupsOf(before.containers)).toEqual([]);
  const next = await testNode({ dataDir: node.config.dataDir, pool: { target: 0, parallel: 1, perS: 1, slotsMax: 1, quietMs: 0 } });
  expect(next.parts.registry.list(null).sandboxes.length).toBeGreaterThan(0);
  expect(next.parts.registry.list(null).sandboxes.every(({ state }) => state === "stopped")).toBe(true);
  await next.end();
});
