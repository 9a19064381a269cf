import type { StartedSandbox, Volume } from "@banyan/sdk";
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import { IMAGE_MS } from "../start-banyan.ts";
import { type Gluster, type GlusterMount, startGluster } from "./gluster.ts";
import { type JoinedNode, joinNode } from "./join-node.ts";
import { patiently, problemOf } from "./looks.ts";
import { type Cluster, startCluster } from "./start-cluster.ts";

const WAIT_MS = 60_000;
/** Longer than the client of the filesystem waits for its server. */
const IO_S_MAX = 60;
let gluster: Gluster;
let cluster: Cluster;
let first: string;
let second: JoinedNode;
let mountOfSecond: GlusterMount;

/** Each service that touches volumes has a mount of its own, as if it were on a machine of its own. */
beforeAll(async () => {
  gluster = await startGluster();
  const [manager, one, two] = [await gluster.mount("manager"), await gluster.mount("one"), await gluster.mount("two")];
  mountOfSecond = two;
  cluster = await startCluster({ volumes: { managerRoot: manager.path, nodeRoot: one.path } });
  first = (await cluster.banyan.nodes())[0]?.id ?? "";
  second = await joinNode(cluster, { BANYAN_VOLUME_DIR: two.path });
}, IMAGE_MS + 180_000);
afterEach(async ({ task }) => {
  if (task.result?.state === "fail") console.error(`${cluster.said()}\n--- second\n${second.agent.output()}`);
  for await (const sandbox of cluster.banyan.sandboxes.list()) await sandbox.delete();
  for (const { id } of await cluster.banyan.nodes()) await cluster.banyan.cluster.uncordon(id);
  await patiently(async () => {
    for await (const volume of cluster.banyan.volumes.list()) await volume.delete();
  });
}, 180_000);
afterAll(async () => {
  await second?.stop();
  await cluster?.stop();
  await gluster?.stop();
}, 240_000);

async function only(nodeId: string): Promise<void> {
  for (const { id } of await cluster.banyan.nodes()) await cluster.banyan.cluster[id === nodeId ? "uncordon" : "cordon"](id);
}

async function on(nodeId: string, volume: Volume, mode: "rw" | "ro" | "cow" = "rw"): Promise<StartedSandbox> {
  await only(nodeId);
  const sandbox = await cluster.banyan.sandboxes.create({ waitMs: WAIT_MS, volumes: [{ volume: volume.id, path: "/data", mode }] });
  expect((await sandbox.look()).nodeId).toBe(nodeId);
  for (const { id } of await cluster.banyan.nodes()) await cluster.banyan.cluster.uncordon(id);
  return sandbox;
}

async function storesOf(nodeId: string): Promise<string[]> {
  const node = (await cluster.banyan.nodes()).find(({ id }) => id === nodeId);
  return (node?.stores ?? []).filter(({ kind }) => kind === "directory").map(({ state }) => state);
}
const said = async (sandbox: StartedSandbox, command: string) => (await sandbox.exec(command)).stdout.trim();

it("shows what a sandbox of one node writes to a sandbox of another, and to who asks without a sandbox", async () => {
  const volume = await cluster.banyan.volumes.create({ name: "shared" });
  await volume.files.write("/uploaded", "from outside");
  const [here, there] = [await on(first, volume), await on(second.nodeId, volume)];
  expect(await said(here, "cat /data/uploaded; mkdir -p /data/deep; echo one > /data/deep/file")).toBe("from outside");
  expect(await said(there, "cat /data/deep/file; echo two >> /data/deep/file; ln -s deep/file /data/link")).toBe("one");
  expect(await said(here, "cat /data/link")).toBe("one\ntwo");
  expect(await volume.files.read("/deep/file")).toBe("one\ntwo\n");
}, 240_000);

it("keeps what each changes in a view of its own from the volume, from the other node and from those who only read", async () => {
  const volume = await cluster.banyan.volumes.create({ name: "views" });
  await volume.files.write("/file", "as it was");
  const [here, there, reader] = [
    await on(first, volume, "cow"),
    await on(second.nodeId, volume, "cow"),
    await on(second.nodeId, volume, "ro"),
  ];
  await here.exec("echo here > /data/file; echo mine > /data/new");
  await there.exec("rm /data/file");
  expect(await said(here, "cat /data/file /data/new")).toBe("here\nmine");
  expect(await said(there, "ls -A /data")).toBe("");
  expect(await said(reader, "cat /data/file; touch /data/file 2>&1 | grep -c 'Read-only'")).toBe("as it was1");
  expect(await volume.files.read("/file")).toBe("as it was");
}, 240_000);

it("starts nothing where the store is lost, gives errors in bounded time there, and takes the node back when it is reached again", async () => {
  const volume = await cluster.banyan.volumes.create({ name: "lost" });
  const there = await on(second.nodeId, volume);
  await there.exec("echo kept > /data/file");
  mountOfSecond.kill();
  await patiently(async () => expect(await storesOf(second.nodeId)).toEqual(["lost"]));
  const read = await there.exec("cat /data/file", { timeoutMs: IO_S_MAX * 1_000 });
  expect(read).toMatchObject({ exitCode: 1, stdout: "" });
  const refused = await cluster.banyan.cluster
    .cordon(first)
    .then(() => problemOf(() => cluster.banyan.sandboxes.create({ volumes: [{ volume: volume.id, path: "/data" }] })));
  // The one that reaches it is cordoned.
  expect(refused).toMatchObject({ status: 503, code: "node.none_available" });
  await cluster.banyan.cluster.uncordon(first);
  const elsewhere = await cluster.banyan.sandboxes.create({ waitMs: WAIT_MS, volumes: [{ volume: volume.id, path: "/data" }] });
  expect((await elsewhere.look()).nodeId).toBe(first);
  expect(await said(elsewhere, "cat /data/file")).toBe("kept");
  await mountOfSecond.mount();
  await patiently(async () => expect(await storesOf(second.nodeId)).toEqual(["ok"]));
  expect(await said(await on(second.nodeId, volume), "cat /data/file")).toBe("kept");
}, 300_000);

it("goes on when the server of the filesystem is gone and comes back", async () => {
  const volume = await cluster.banyan.volumes.create({ name: "server" });
  const here = await on(first, volume);
  await here.exec("echo kept > /data/file");
  await gluster.kill();
  await patiently(async () => expect([await storesOf(first), await storesOf(second.nodeId)]).toEqual([["lost"], ["lost"]]));
  expect(await problemOf(() => volume.files.read("/file"))).toMatchObject({ status: 503, code: "volume.unreachable" });
  const created = () => cluster.banyan.sandboxes.create({ volumes: [{ volume: volume.id, path: "/data" }] });
  expect(await problemOf(created)).toMatchObject({ status: 503, code: "volume.unreachable" });
  expect(await here.exec("cat /data/file", { timeoutMs: IO_S_MAX * 1_000 })).toMatchObject({ exitCode: 1 });
  await gluster.start();
  await patiently(async () => expect([await storesOf(first), await storesOf(second.nodeId)]).toEqual([["ok"], ["ok"]]));
  await patiently(async () => expect(await said(here, "cat /data/file")).toBe("kept"));
  await patiently(async () => expect(await volume.files.read("/file")).toBe("kept\n"));
}, 300_000);
