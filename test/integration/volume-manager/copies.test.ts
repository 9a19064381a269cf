import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { VolumeChanged } from "@banyan/contracts";
import { newId } from "@banyan/kernel";
import { eventually } from "@banyan/testkit";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { type Cluster, codeOf, PATIENT, startCluster, VolumesWorld } from "./volumes-harness.ts";

/** So many that a copy of them is seen half done. */
const FILES = 20_000;
const FOLDERS = 20;

let cluster: Cluster;
let world: VolumesWorld;

beforeAll(async () => {
  cluster = await startCluster();
});
afterAll(() => cluster?.stop());
afterEach(() => world?.close());

const fileOf = (path: string): string => join(path, "file");
const fork = (volume: string, versionId: string | null = null) => world.create({ from: { volume, versionId } });
const runs = (versionId: string | null) => async () => ({
  users: [{ sandboxId: newId("sbx"), state: "running" as const, path: "/d", mode: "ro" as const, versionId }],
  forks: 0,
  total: 1,
});

describe.each(["btrfs", "plain"] as const)("on %s", (disk) => {
  it("keeps versions, restores them and forks them", async () => {
    world = await VolumesWorld.open(cluster, { disk });
    await world.start();
    const volume = await world.create({ quotaMb: 100 });
    expect(volume.quotaEnforcedBy).toBe(disk === "btrfs" ? "kernel" : "upload");
    writeFileSync(fileOf(world.content(volume)), "first");
    const { id } = await world.snapshot(volume.id, "v1");
    const version = await eventually(async () => {
      const seen = await world.version(volume.id, "v1");
      return seen.state === "ready" && seen;
    }, PATIENT);
    expect(version.id).toBe(id);
    writeFileSync(fileOf(world.content(volume)), "second");
    const copies = [await fork(volume.id), await fork(volume.id, "v1")];
    for (const copy of copies) await world.ready(copy);
    expect(copies.map((copy) => readFileSync(fileOf(world.content(copy)), "utf8"))).toEqual(["second", "first"]);
    expect(copies[1]?.origin).toEqual({ volumeId: volume.id, versionId: id });
    await world.restore(volume.id, "v1");
    await world.ready(volume);
    expect(readFileSync(fileOf(world.content(volume)), "utf8")).toBe("first");
    expect(await codeOf(world.snapshot(volume.id, "v1"))).toBe("volume.name_taken");
  });
});

it("does not restore while a running sandbox sees the content, and does where it sees a version", async () => {
  world = await VolumesWorld.open(cluster, { disk: "plain" });
  await world.start();
  const volume = await world.create();
  const { id } = await world.snapshot(volume.id);
  await eventually(async () => expect((await world.version(volume.id, id)).state).toBe("ready"), PATIENT);
  world.users = runs(null);
  expect(await codeOf(world.restore(volume.id, id))).toBe("volume.in_use");
  expect((await world.get(volume.id)).state).toBe("ready");
  world.users = runs(id);
  expect(await codeOf(world.restore(volume.id, id))).toBe("no error");
  await world.ready(volume);
});

it("says each change of a state once, in order", async () => {
  world = await VolumesWorld.open(cluster, { disk: "plain" });
  await world.start();
  const volumeId = newId("vol");
  const heard: string[] = [];
  const events = world.bus.onEvents(VolumeChanged, { durable: `test-${volumeId}` }, async (event) => {
    if (event.volumeId === volumeId) heard.push(`${event.versionId === null ? "volume" : "version"} ${event.from} ${event.to}`);
  });
  await world.create({ volumeId });
  await world.remove(volumeId);
  await eventually(() => expect(heard.at(-1)).toBe("volume deleting deleted"), PATIENT);
  expect(heard).toEqual(["volume null creating", "volume creating ready", "volume ready deleting", "volume deleting deleted"]);
  await events.stop();
});

it("finishes a copy in whose middle it was killed, from the beginning, and leaves nothing half done", async () => {
  world = await VolumesWorld.open(cluster, { disk: "plain" });
  const first = await world.startProcess();
  const volume = await world.create();
  for (let folder = 0; folder < FOLDERS; folder++) {
    const path = join(world.content(volume), `folder-${folder}`);
    mkdirSync(path);
    for (let file = 0; file < FILES / FOLDERS; file++) writeFileSync(join(path, `file-${file}`), "");
  }
  const volumeId = newId("vol");
  const parent = dirname(world.content({ id: volumeId }));
  const begun = world.create({ volumeId, from: { volume: volume.id, versionId: null } }).catch((error: unknown) => error);
  await eventually(() => readdirSync(parent).some((name) => name.endsWith(".draft")), { ...PATIENT, intervalMs: 1 });
  await first.kill();
  await begun;
  expect(readdirSync(parent)).not.toContain("content");
  const second = await world.startProcess();
  try {
    await world.ready({ id: volumeId });
    expect(readdirSync(parent).toSorted()).toEqual(["content", "versions"]);
    const copied = readdirSync(world.content({ id: volumeId }), { recursive: true });
    expect(copied).toHaveLength(FILES + FOLDERS);
  } finally {
    await second.kill();
  }
});
