import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { isAlive, newId, type ProcessRef } from "@banyan/kernel";
import { findRclones, readMounts } from "@banyan/runtime";
import type { StartedSandbox, Volume } from "@banyan/sdk";
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import { type ObjectStore, startObjectStore } from "../../integration/node/object-store.ts";
import { IMAGE_MS } from "../start-banyan.ts";
import { type JoinedNode, joinNode } from "./join-node.ts";
import { patiently, problemOf } from "./looks.ts";
import { type Cluster, startCluster } from "./start-cluster.ts";

const WAIT_MS = 60_000;
/** What a sandbox waits at most for a store that is gone: three tries of five seconds to connect, and their pauses. */
const IO_MS_MAX = 60_000;
const root = mkdtempSync("/var/tmp/bny-store-");
let store: ObjectStore;
let cluster: Cluster;

beforeAll(async () => {
  store = await startObjectStore();
  cluster = await startCluster({ volumes: { managerRoot: root, nodeRoot: root } });
}, IMAGE_MS + 180_000);
afterEach(async ({ task }) => {
  if (task.result?.state === "fail") console.error(cluster.said());
  await store.start();
  if (!cluster.agent.isRunning) await cluster.agent.start();
  await patiently(async () => {
    for await (const sandbox of cluster.banyan.sandboxes.list()) await sandbox.delete();
  });
  await patiently(async () => {
    for await (const volume of cluster.banyan.volumes.list()) await volume.delete();
  });
}, 180_000);
afterAll(async () => {
  try {
    await cluster?.stop();
  } finally {
    await store?.stop();
    rmSync(root, { recursive: true, force: true });
  }
}, 240_000);

async function made(): Promise<{ volume: Volume; prefix: string }> {
  const prefix = `banyan/${newId("vol")}`;
  return { volume: await cluster.banyan.volumes.create({ backend: "object", remote: store.remote({ path: prefix }) }), prefix };
}
const sandboxWith = (volume: Volume, mode: "rw" | "ro" | "cow" = "rw"): Promise<StartedSandbox> =>
  cluster.banyan.sandboxes.create({ waitMs: WAIT_MS, volumes: [{ volume: volume.id, path: "/data", mode }] });
const said = async (sandbox: StartedSandbox, command: string) => (await sandbox.exec(command)).stdout.trim();
const inBucket = (path: string, content: string) => patiently(async () => expect(await store.object(path)).toBe(content));

/** The rclone that serves a volume: to sandboxes of the first node, or to the volume-manager. */
function rcloneOf({ id }: Volume, of: "objects" | "volume-manager-objects"): ProcessRef {
  const found = findRclones().get(join(cluster.dataDir, of, "mounts", id));
  if (found === undefined) throw new Error(`no rclone serves ${id}`);
  return found;
}

it("is found again with all who have it when the runner-agent is killed, and serves them meanwhile", async () => {
  const { volume, prefix } = await made();
  const [writer, own] = [await sandboxWith(volume), await sandboxWith(volume, "cow")];
  await writer.exec("echo before > /data/file");
  await own.exec("echo mine > /data/own");
  const rclone = rcloneOf(volume, "objects");
  // What is written anew within a second is not sent before it rests.
  await writer.processes.start("while [ ! -e /workspace/end ]; do date +%s%N > /data/beat; sleep 2; done", { id: "beats" });
  await cluster.agent.kill();
  await inBucket(`${prefix}/file`, "before\n");
  const beat = await patiently(async () => (await store.object(`${prefix}/beat`)) ?? expect.fail("no beat yet"));
  await patiently(async () => expect(await store.object(`${prefix}/beat`)).not.toBe(beat));
  await cluster.agent.start();
  expect(await patiently(() => said(writer, "cat /data/file; touch /workspace/end"))).toBe("before");
  expect(await said(own, "cat /data/own /data/file")).toBe("mine\nbefore");
  expect(rcloneOf(volume, "objects")).toEqual(rclone);
  await writer.exec("echo after > /data/file");
  await inBucket(`${prefix}/file`, "after\n");
  const late = await sandboxWith(volume, "ro");
  expect(await said(late, "cat /data/file")).toBe("after");
  expect(rcloneOf(volume, "objects")).toEqual(rclone);
}, 240_000);

it("gives I/O errors in bounded time while its store is gone, hangs nothing, and works again when the store is back", async () => {
  const { volume, prefix } = await made();
  const sandbox = await sandboxWith(volume);
  await sandbox.exec("echo kept > /data/file; mkdir /data/deep; echo deep > /data/deep/file");
  await inBucket(`${prefix}/deep/file`, "deep\n");
  await store.kill();
  // A name that nothing here remembers the content of.
  const read = await sandbox.exec("cat /data/deep/other/file", { timeoutMs: IO_MS_MAX });
  expect(read).toMatchObject({ exitCode: 1, stdout: "" });
  const away = await problemOf(() => volume.files.read("/file"));
  expect(away).toMatchObject({ status: 503, code: "volume.unreachable", retryable: true });
  expect(away.tookMs).toBeLessThan(IO_MS_MAX);
  expect(await said(sandbox, "echo mine > /workspace/file; cat /workspace/file; echo late > /data/late")).toBe("mine");
  await store.start();
  await patiently(async () => expect(await said(sandbox, "cat /data/file /data/deep/file")).toBe("kept\ndeep"));
  await inBucket(`${prefix}/late`, "late\n");
  await patiently(async () => expect(await volume.files.read("/file")).toBe("kept\n"));
}, 300_000);

it("is served anew when an rclone has died: to who asks without a sandbox, and to a sandbox that mounts it again", async () => {
  const { volume, prefix } = await made();
  await volume.files.write("/file", "kept");
  await inBucket(`${prefix}/file`, "kept");
  const sandbox = await sandboxWith(volume);
  expect(await patiently(() => said(sandbox, "cat /data/file"))).toBe("kept");
  for (const of of ["objects", "volume-manager-objects"] as const) {
    const rclone = rcloneOf(volume, of);
    process.kill(rclone.pid, "SIGKILL");
    await patiently(async () => expect(isAlive(rclone)).toBe(false));
  }
  await patiently(async () => expect(await volume.files.read("/file")).toBe("kept"));
  expect((await sandbox.exec("cat /data/file")).stderr).toContain("not connected");
  await sandbox.unmount("/data", { force: true });
  await sandbox.mount({ volume: volume.id, path: "/data" });
  expect(await said(sandbox, "cat /data/file")).toBe("kept");
}, 240_000);

it("shows what a sandbox writes to those of another node", async () => {
  const second: JoinedNode = await joinNode(cluster, { BANYAN_VOLUME_DIR: root });
  try {
    const { volume, prefix } = await made();
    const here = await sandboxWith(volume);
    const first = (await here.look()).nodeId ?? "";
    await cluster.banyan.cluster.cordon(first);
    const there = await sandboxWith(volume);
    await cluster.banyan.cluster.uncordon(first);
    expect((await there.look()).nodeId).not.toBe(first);
    expect(await said(there, "ls -A /data")).toBe("");
    await here.exec("echo here > /data/file");
    await inBucket(`${prefix}/file`, "here\n");
    await patiently(async () => expect(await said(there, "cat /data/file")).toBe("here"));
    await there.delete();
    await here.delete();
  } finally {
    await second.stop();
  }
}, 300_000);

it("leaves no mount, no rclone and no cache when the node ends, what was written last included", async () => {
  const { volume, prefix } = await made();
  const sandbox = await sandboxWith(volume);
  await volume.files.write("/uploaded", "uploaded");
  await sandbox.exec("echo last > /data/last");
  const rclone = rcloneOf(volume, "objects");
  await cluster.agent.end();
  await patiently(async () => expect(isAlive(rclone)).toBe(false));
  const objects = join(cluster.dataDir, "objects");
  expect(readMounts().filter(({ mountPoint }) => mountPoint.startsWith(`${objects}/`))).toEqual([]);
  for (const name of ["mounts", "cache", "logs"]) expect(existsSync(objects) ? readdirSync(join(objects, name)) : [], name).toEqual([]);
  expect(await store.object(`${prefix}/last`)).toBe("last\n");
}, 240_000);
