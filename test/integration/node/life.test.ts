import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { deleteSandbox, NODE_DEFAULTS, type NodeConfig, startSandbox, stopSandbox } from "@banyan/runner-agent";
import { openDocker, readLimits } from "@banyan/runtime";
import { eventually } from "@banyan/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { start, stopOf, type TestNode, testNode } from "./test-node.ts";

const GRACE_MS = 10_000;

let node: TestNode;
beforeAll(async () => {
  node = await testNode({ pool: { target: 4, parallel: 2, perS: 50, slotsMax: 100, quietMs: 0 } });
});
afterAll(() => node?.end());

const runOf = (sandboxId: string) => node.parts.registry.get(sandboxId)?.run;
const isThere = (sandboxId: string) => ({
  known: node.parts.registry.get(sandboxId) !== undefined,
  disk: node.parts.disk.driver.has(sandboxId),
  journal: existsSync(join(node.config.dataDir, "journal", `${sandboxId}.json`)),
});

/** Stop, start, delete: with either driver of disks. */
async function liveOnce(on: TestNode): Promise<void> {
  const order = on.order();
  await start(on, order);
  expect(await on.sh(order, "echo kept > /root/file; rm /etc/debian_version; cat /proc/sys/kernel/hostname /etc/hosts")).toMatchObject({
    out: "test\n127.0.0.1\tlocalhost\n127.0.1.1\ttest\n",
    status: { code: 0 },
  });
  expect(await stopSandbox(on.parts, stopOf(order))).toEqual({ outcome: "stopped" });
  expect(await stopSandbox(on.parts, stopOf(order))).toEqual({ outcome: "stopped" });
  expect(() => on.parts.registry.find(order)).toThrow(expect.objectContaining({ code: "sandbox.not_running" }));
  const again = { ...order, epoch: 2, fresh: false };
  await start(on, again);
  expect((await on.sh(again, "cat /root/file; test -e /etc/debian_version || echo gone")).out).toBe("kept\ngone\n");
  expect(() => on.parts.registry.find({ ...again, epoch: 1 })).toThrow(expect.objectContaining({ code: "sandbox.stale_epoch" }));
  expect(() => on.parts.registry.find({ ...again, orgId: "org_other" })).toThrow(expect.objectContaining({ code: "sandbox.not_found" }));
  await deleteSandbox(on.parts, again);
  expect(() => on.parts.registry.find(again)).toThrow(expect.objectContaining({ code: "sandbox.not_found" }));
  expect(on.parts.disk.driver.has(order.sandboxId)).toBe(false);
}

it("keeps a sandbox's files over stop and start, and forgets them with a delete", () => liveOnce(node));

describe("on plain directories", () => {
  let plain: TestNode;
  const config: Partial<NodeConfig> = { disk: "plain", pool: { target: 1, parallel: 1, perS: 50, slotsMax: 10, quietMs: 0 } };
  beforeAll(async () => {
    plain = await testNode(config);
  });
  afterAll(() => plain.end());

  it("keeps and forgets files just the same", () => liveOnce(plain));
  it("says that it enforces no disk limits", () => expect(plain.parts.disk.driver).toMatchObject({ kind: "plain", enforcesLimits: false }));
});

it("gives processes their grace, and no more", async () => {
  const polite = node.order();
  await start(node, polite);
  await node.sh(polite, "(trap 'echo bye > /bye; exit' TERM; touch /set; while :; do sleep 0.05; done) > /dev/null 2>&1 &");
  await eventually(async () => (await node.sh(polite, "ls /set")).out !== "");
  const beganAt = performance.now();
  await stopSandbox(node.parts, stopOf(polite, { graceMs: GRACE_MS }));
  expect(performance.now() - beganAt).toBeLessThan(GRACE_MS);
  const again = { ...polite, epoch: 2, fresh: false };
  await start(node, again);
  expect((await node.sh(again, "cat /bye")).out).toBe("bye\n");

  await node.sh(again, "(trap '' TERM; while :; do sleep 0.05; done) > /dev/null 2>&1 &");
  await stopSandbox(node.parts, stopOf(again, { graceMs: 200 }));
  expect(runOf(polite.sandboxId)).toBeNull();
});

it("lets a delete cut the grace of a stop short", async () => {
  const order = node.order();
  await start(node, order);
  await node.sh(order, "(trap '' TERM; while :; do sleep 0.05; done) > /dev/null 2>&1 &");
  const beganAt = performance.now();
  const stopping = stopSandbox(node.parts, stopOf(order, { graceMs: 60_000 }));
  await deleteSandbox(node.parts, order);
  await stopping;
  expect(performance.now() - beganAt).toBeLessThan(GRACE_MS);
  expect(isThere(order.sandboxId)).toEqual({ known: false, disk: false, journal: false });
});

it("calls a start off that waits for a slot when the sandbox is deleted", async () => {
  const { pool } = node.parts;
  await eventually(() => pool.status.free === 4, { timeoutMs: 20_000 });
  await pool.stop();
  const order = node.order({ deadlineMs: 60_000 });
  const taken = [pool.take(), pool.take(), pool.take(), pool.take()];
  const starting = startSandbox(node.parts, order).catch((error: unknown) => error);
  await eventually(() => pool.status.waiting === 1);
  await deleteSandbox(node.parts, order);
  expect(await starting).toMatchObject({ code: "sandbox.start_failed" });
  expect(await startSandbox(node.parts, order)).toMatchObject({ kind: "refused", reason: "deleted" });
  expect(isThere(order.sandboxId)).toEqual({ known: false, disk: false, journal: false });
  for (const slot of taken) if (slot !== null) pool.release(slot);
  pool.start();
});

it("leaves nothing of a start that fails half-way", async () => {
  const absent = node.order({ layers: [{ digest: `sha256:${"0".repeat(64)}`, sizeBytes: 1 }] });
  await expect(startSandbox(node.parts, absent)).rejects.toMatchObject({ code: "layer.unavailable" });
  expect(isThere(absent.sandboxId)).toEqual({ known: false, disk: false, journal: false });
  // Longer than the kernel takes: the attach itself fails.
  const refused = node.order({ hostname: "h".repeat(100) });
  await expect(startSandbox(node.parts, refused)).rejects.toMatchObject({ code: "sandbox.start_failed" });
  expect(isThere(refused.sandboxId)).toEqual({ known: false, disk: false, journal: false });
  await start(node, { ...refused, epoch: 2, hostname: "short" });
  await stopSandbox(node.parts, stopOf({ ...refused, epoch: 2 }));
  await expect(startSandbox(node.parts, { ...refused, epoch: 3, fresh: false })).rejects.toMatchObject({ code: "sandbox.start_failed" });
  expect(isThere(refused.sandboxId)).toEqual({ known: true, disk: true, journal: true });
});

it("carries out what is asked of one sandbox at the same time one after another", async () => {
  const order = node.order();
  const answers = await Promise.all([start(node, order), start(node, order), start(node, order)]);
  expect(new Set(answers.map(({ timing }) => timing.totalMs)).size).toBe(1);
  const [stopped, deleted] = await Promise.all([stopSandbox(node.parts, stopOf(order)), deleteSandbox(node.parts, order)]);
  expect([stopped, deleted]).toEqual([{ outcome: "stopped" }, {}]);
  expect(await stopSandbox(node.parts, stopOf(order))).toEqual({ outcome: "absent" });
});

it("refuses what does not fit any more", async () => {
  const { memoryMb } = node.parts.capacity;
  const order = node.order();
  order.resources.memoryMb = memoryMb + 1;
  expect(await startSandbox(node.parts, order)).toMatchObject({ kind: "refused", reason: "capacity" });
});

it("goes on with another helper when the first one is killed", async () => {
  const helpers = execFileSync("pgrep", ["-P", String(process.pid), "-x", "attach"], { encoding: "utf8" })
    .trim()
    .split("\n")
    .map(Number);
  expect(helpers.length).toBeGreaterThan(0);
  for (const pid of helpers) process.kill(pid, "SIGKILL");
  await eventually(async () => {
    const order = node.order();
    await start(node, order);
    expect((await node.sh(order, "echo here")).out).toBe("here\n");
  });
});

it("finds what does not belong here, and puts limits back that were changed", async () => {
  const order = node.order();
  await start(node, order);
  await eventually(() => node.parts.pool.status.starting === 0);
  await node.reconcile();
  const cgroups = runOf(order.sandboxId)?.slot.cgroups;
  if (cgroups === undefined) throw new Error("the sandbox does not run");
  const docker = openDocker(process.env.DOCKER_HOST ?? NODE_DEFAULTS.dockerHost);
  const [some] = await docker.listContainers({ filters: { label: [`banyan.node=${node.parts.nodeId}`] } });
  const labels = { "banyan.node": node.parts.nodeId, "banyan.slot": "slot_ofnobody", "banyan.address": "10.255.0.9" };
  await docker.createContainer({ Image: some?.Image ?? "", Cmd: ["/init"], Labels: labels, HostConfig: { NetworkMode: "none" } });
  mkdirSync(join(node.config.dataDir, "slots", "slot_left_behind"));
  execFileSync("ip", ["link", "add", "bnystray0", "type", "veth", "peer", "name", "bnystray1"]);
  execFileSync("ip", ["link", "set", "bnystray0", "master", node.parts.network.bridge]);
  execFileSync("sh", ["-c", `echo 7 > ${cgroups.pids}/pids.max`]);

  expect(await node.reconcile()).toMatchObject({ orphans: 3, limits: 1 });
  expect(await node.reconcile()).toMatchObject({ orphans: 0, limits: 0, network: 0 });
  expect(readdirSync(join(node.config.dataDir, "slots"))).not.toContain("slot_left_behind");
  expect(existsSync("/sys/class/net/bnystray0")).toBe(false);
  expect(readLimits(cgroups).pids).toBe(order.resources.pids);
  expect((await node.sh(order, "echo untouched")).out).toBe("untouched\n");
});
