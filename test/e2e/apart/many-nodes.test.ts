import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { StartedSandbox } from "@banyan/sdk";
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import { IMAGE_MS } from "../start-banyan.ts";
import { type JoinedNode, joinNode } from "./join-node.ts";
import { patiently, problemOf } from "./looks.ts";
import { type Cluster, startCluster } from "./start-cluster.ts";

const WAIT_MS = 60_000;
let cluster: Cluster;
let first: string;
let second: JoinedNode;

beforeAll(async () => {
  cluster = await startCluster();
  first = (await cluster.banyan.nodes())[0]?.id ?? "";
  second = await joinNode(cluster);
  // From here on both have the image's layers.
  await (await createOn(second.nodeId)).delete();
}, IMAGE_MS + 180_000);
afterEach(async ({ task }) => {
  if (task.result?.state === "fail") console.error(`${cluster.said()}\n--- second\n${second.agent.output()}`);
  if (!second.agent.isRunning) await second.agent.start();
  for await (const sandbox of cluster.banyan.sandboxes.list()) await sandbox.delete();
  await patiently(async () => {
    const nodes = await cluster.banyan.nodes();
    expect(nodes.map(({ reachable, used }) => reachable && used.sandboxes)).toEqual(nodes.map(() => 0));
    for (const { id } of nodes) await cluster.banyan.cluster.uncordon(id);
  });
}, 180_000);
afterAll(async () => {
  await second?.stop();
  await cluster?.stop();
}, 240_000);

async function only(nodeId: string): Promise<void> {
  for (const { id } of await cluster.banyan.nodes()) await cluster.banyan.cluster[id === nodeId ? "uncordon" : "cordon"](id);
}

async function createOn(nodeId: string): Promise<StartedSandbox> {
  await only(nodeId);
  const sandbox = await cluster.banyan.sandboxes.create({ waitMs: WAIT_MS });
  expect((await sandbox.look()).nodeId).toBe(nodeId);
  for (const { id } of await cluster.banyan.nodes()) await cluster.banyan.cluster.uncordon(id);
  return sandbox;
}

const at = (sandbox: StartedSandbox, nodeId: string, state = "running") =>
  patiently(async () => expect(await sandbox.look()).toMatchObject({ state, nodeId }));

it("takes a machine in by a token, and spreads sandboxes over the nodes", async () => {
  const { banyan } = cluster;
  const sandboxes = await Promise.all(Array.from({ length: 6 }, () => banyan.sandboxes.create({ waitMs: WAIT_MS })));
  const nodes = await Promise.all(sandboxes.map(async (sandbox) => (await sandbox.look()).nodeId));
  expect(new Set(nodes)).toEqual(new Set([first, second.nodeId]));
  for (const sandbox of sandboxes) expect(await sandbox.exec("id -un")).toMatchObject({ exitCode: 0 });
}, 180_000);

it("drains a node: what ran answers on the other one with its files, what was stopped starts there", async () => {
  const [runs, rests] = [await createOn(second.nodeId), await createOn(second.nodeId)];
  await runs.exec("mkdir -p /workspace/deep && printf moved > /workspace/deep/file && ln -s deep/file /workspace/link && rm -f /etc/motd");
  await rests.files.write("/workspace/kept", "yes");
  await rests.stop();
  await cluster.banyan.cluster.drain(second.nodeId);
  await patiently(async () => expect(await cluster.banyan.cluster.drain(second.nodeId)).toMatchObject({ left: 0, failed: [] }));
  await at(runs, first);
  expect((await runs.exec("cat /workspace/link; ls /etc/motd 2>&1 | grep -c 'No such'")).stdout).toBe("moved1\n");
  expect(await rests.look()).toMatchObject({ state: "stopped", nodeId: null });
  await rests.start({ waitMs: WAIT_MS });
  expect(await rests.look()).toMatchObject({ state: "running", nodeId: first });
  expect(await rests.files.read("/workspace/kept")).toBe("yes");
}, 240_000);

it("starts an archived sandbox on another node, and back, each time on the files it had", async () => {
  const sandbox = await createOn(first);
  for (const [i, nodeId] of [second.nodeId, first].entries()) {
    await sandbox.exec(`echo ${i} >> /workspace/trail`);
    await sandbox.stop();
    expect(await sandbox.archive()).toMatchObject({ state: "stopped", nodeId: null });
    await only(nodeId);
    await sandbox.start({ waitMs: WAIT_MS });
    expect(await sandbox.look()).toMatchObject({ nodeId, epoch: i + 2 });
  }
  expect(await sandbox.files.read("/workspace/trail")).toBe("0\n1\n");
}, 240_000);

it("starts sandboxes and children from a snapshot on a node that did not make it, and whose source is gone", async () => {
  const source = await createOn(first);
  await source.exec(
    "mkdir -p /workspace/deep && printf taken > /workspace/deep/file && ln -s deep/file /workspace/link && rm -f /etc/motd",
  );
  const snapshot = await source.snapshot();
  await source.exec("printf later > /workspace/deep/file");
  await source.delete();
  await only(second.nodeId);
  try {
    const look = "cat /workspace/link; ls /etc/motd 2>&1 | grep -c 'No such'";
    const sandbox = await cluster.banyan.sandboxes.create({ image: snapshot.id, waitMs: WAIT_MS });
    expect((await sandbox.look()).nodeId).toBe(second.nodeId);
    expect((await sandbox.exec(look)).stdout).toBe("taken1\n");
    const fork = await cluster.banyan.forks.create({
      snapshot: snapshot.id,
      count: 2,
      run: `${look}; echo $BANYAN_FORK_INDEX`,
      after: "delete",
    });
    await fork.wait();
    for (const index of [0, 1])
      expect((await fork.child(index)).info).toMatchObject({
        state: "succeeded",
        nodeId: second.nodeId,
        outcome: { stdout: `taken1\n${index}\n` },
      });
    await sandbox.delete();
  } finally {
    await only(first);
  }
  const back = await cluster.banyan.sandboxes.create({ image: snapshot.id, waitMs: WAIT_MS });
  expect((await back.look()).nodeId).toBe(first);
  expect(await back.files.read("/workspace/link")).toBe("taken");
}, 240_000);

it("promotes a child on another node: the parent goes on there, under its own id, from the child's files", async () => {
  const parent = await createOn(first);
  await parent.files.write("/workspace/base", "of the parent");
  await only(second.nodeId);
  const fork = await parent.fork(1, { run: "cat /workspace/base > /workspace/won; echo done", after: "keep" });
  await fork.wait();
  const child = await fork.child(0);
  expect(child.info).toMatchObject({ state: "succeeded", nodeId: second.nodeId });
  await parent.files.write("/workspace/meanwhile", "the parent went on");
  const refused = await problemOf(() => child.promote());
  expect(refused).toMatchObject({ status: 409, code: "fork.parent_changed" });
  expect(await parent.files.read("/workspace/meanwhile")).toBe("the parent went on");
  expect(await child.promote({ force: true })).toMatchObject({ parentId: parent.id, state: "running" });
  await at(parent, second.nodeId);
  expect(await parent.files.read("/workspace/won")).toBe("of the parent");
  expect((await parent.exec("ls /workspace/meanwhile")).exitCode).not.toBe(0);
  expect((await child.sandbox().exec("cat /workspace/won")).stdout, "the child goes on too").toBe("of the parent");
}, 240_000);

it("tells an unchanged parent from a changed one, next to its child and on another node, after the fork has ended", async () => {
  for (const nodeId of [first, second.nodeId]) {
    const parent = await createOn(first);
    await parent.exec(
      "mkdir -p /workspace/a/b && seq 1000 > /workspace/a/b/file && ln -s b /workspace/a/link && rm -rf /workspace/.cache && touch -d @1 /workspace/old",
    );
    await only(nodeId);
    const fork = await parent.fork(1, { run: "echo better > /workspace/a/b/file", after: "keep" });
    await fork.wait();
    const child = await fork.child(0);
    expect(child.info.nodeId).toBe(nodeId);
    expect(await child.promote(), nodeId).toMatchObject({ parentId: parent.id, state: "running" });
    expect(await parent.files.read("/workspace/a/link/file")).toBe("better\n");
    expect(await problemOf(() => child.promote()), "its files are others now").toMatchObject({ code: "fork.parent_changed" });
    for (const { id } of await cluster.banyan.nodes()) await cluster.banyan.cluster.uncordon(id);
  }
}, 240_000);

it("says what a killed node had, gives it up on the operator's word, and takes it back when it returns", async () => {
  const { banyan } = cluster;
  const [runs, rests] = [await createOn(second.nodeId), await createOn(second.nodeId)];
  await rests.stop();
  await runs.files.write("/workspace/kept", "yes");
  await second.agent.kill();
  expect(await problemOf(() => runs.exec("true"))).toMatchObject({ status: 503, code: "node.unreachable" });
  await patiently(async () => expect((await banyan.nodes()).find(({ id }) => id === second.nodeId)?.reachable).toBe(false));
  expect(await problemOf(() => rests.start())).toMatchObject({ status: 503, code: "node.unreachable" });
  expect(await problemOf(() => banyan.cluster.remove(second.nodeId))).toMatchObject({ code: "node.in_use" });
  expect(await banyan.cluster.remove(second.nodeId, { force: true })).toEqual({ lost: 2 });
  expect(await runs.look()).toMatchObject({ state: "failed", stateReason: "node_lost" });
  expect((await banyan.nodes()).map(({ id }) => id)).toEqual([first]);
  await second.agent.start();
  await at(runs, second.nodeId);
  await at(rests, second.nodeId, "stopped");
  expect(await runs.files.read("/workspace/kept")).toBe("yes");
}, 240_000);

it("writes the cluster's secrets into no log", () => {
  const { joined } = JSON.parse(readFileSync(join(second.dataDir, "cluster.json"), "utf8")) as { joined: { cluster_token: string } };
  expect(joined.cluster_token).not.toBe("");
  expect(second.agent.output() + cluster.said()).not.toContain(joined.cluster_token);
});
