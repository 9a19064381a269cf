import { execFileSync } from "node:child_process";
import { mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { newId } from "@banyan/kernel";
import { markerPath, readStore } from "@banyan/runtime";
import type { RunningService } from "@banyan/service";
import { eventually } from "@banyan/testkit";
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import { type Cluster, codeOf, PATIENT, startCluster, VolumesWorld } from "./volumes-harness.ts";

let cluster: Cluster;
let world: VolumesWorld;

beforeAll(async () => {
  cluster = await startCluster();
});
afterAll(() => cluster?.stop());
afterEach(() => world?.close());

const isLost = (running: RunningService) =>
  eventually(async () => expect(await codeOf(running.checks.store?.() ?? Promise.resolve())).toBe("volume.unreachable"), PATIENT);
const isThere = (running: RunningService) =>
  eventually(async () => expect(await codeOf(running.checks.store?.() ?? Promise.resolve())).toBe("no error"), PATIENT);

it("says that a store is gone, refuses what needs it, and goes on by itself when it is back", async () => {
  world = await VolumesWorld.open(cluster, { disk: "plain" });
  const running = await world.start();
  const volume = await world.create();
  renameSync(world.root, `${world.root}.gone`);
  await isLost(running);
  await expect(world.create()).rejects.toMatchObject({ code: "volume.unreachable", details: { retryAfterMs: expect.any(Number) } });
  expect(await codeOf(world.snapshot(volume.id))).toBe("volume.unreachable");
  expect((await world.get(volume.id)).state).toBe("ready");
  // A deletion waits for it.
  expect(await world.remove(volume.id)).toBe("deleting");
  renameSync(`${world.root}.gone`, world.root);
  await isThere(running);
  await eventually(async () => expect(await world.remove(volume.id)).toBe("deleted"), PATIENT);
  expect((await world.create()).state).toBe("ready");
});

it("takes a store that hangs for lost, and hangs itself not", async () => {
  world = await VolumesWorld.open(cluster, { disk: "plain" });
  world.config.directory.probeTimeoutMs = 500;
  const running = await world.start();
  const { id } = await world.create();
  renameSync(markerPath(world.root), `${markerPath(world.root)}.kept`);
  execFileSync("mkfifo", [markerPath(world.root)]);
  await isLost(running);
  expect((await world.get(id)).state).toBe("ready");
  expect(await codeOf(world.create())).toBe("volume.unreachable");
  renameSync(`${markerPath(world.root)}.kept`, markerPath(world.root));
  await isThere(running);
});

it("makes no new store in an empty directory where volumes lie in another one", async () => {
  world = await VolumesWorld.open(cluster, { disk: "plain" });
  await world.start();
  await world.create();
  const { id } = await readStore(world.root);
  await world.stop();
  renameSync(world.root, `${world.root}.other`);
  mkdirSync(world.root);
  const running = await world.start();
  await isLost(running);
  expect(await codeOf(readStore(world.root))).toBe("volume.unreachable");
  rmSync(world.root, { recursive: true });
  renameSync(`${world.root}.other`, world.root);
  await isThere(running);
  expect((await readStore(world.root)).id).toBe(id);
});

it("refuses what a full store cannot take, keeps nothing of it, and goes on", async () => {
  world = await VolumesWorld.open(cluster, { disk: "plain" });
  execFileSync("mount", ["-t", "tmpfs", "-o", "size=64m", "tmpfs", world.root]);
  try {
    await world.start();
    const volume = await world.create();
    writeFileSync(join(world.content(volume), "large"), Buffer.alloc(40 * 1024 * 1024, "x"));
    const volumeId = newId("vol");
    expect(await codeOf(world.create({ volumeId, name: "fork", from: { volume: volume.id, versionId: null } }))).toBe("volume.no_space");
    expect(await codeOf(world.snapshot(volume.id, "v1"))).toBe("volume.no_space");
    rmSync(join(world.content(volume), "large"));
    expect((await world.create({ name: "fork", from: { volume: volume.id, versionId: null } })).name).toBe("fork");
    expect((await world.snapshot(volume.id, "v1")).name).toBe("v1");
    await eventually(async () => expect(await codeOf(world.get(volumeId))).toBe("volume.not_found"), PATIENT);
    await world.stop();
  } finally {
    execFileSync("umount", ["--lazy", world.root]);
  }
});

it("measures volumes by and by, and again after what was written", async () => {
  world = await VolumesWorld.open(cluster, { disk: "plain", volumes: { usageEveryMs: 100 } });
  await world.start();
  const volume = await world.create();
  writeFileSync(join(world.content(volume), "file"), Buffer.alloc(3 * 1024 * 1024, "x"));
  await eventually(async () => {
    const { usage } = await world.get(volume.id);
    expect(usage.files).toBe(1);
    expect(usage.bytes).toBeGreaterThanOrEqual(3 * 1024 * 1024);
  }, PATIENT);
});
