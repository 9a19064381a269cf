import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { eventually } from "@banyan/testkit";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type ObjectStore, startObjectStore } from "../node/object-store.ts";
import { askAt, type Process, startManager } from "./several-processes.ts";
import { type Cluster, PATIENT, startCluster, VolumesWorld } from "./volumes-harness.ts";

const TEST_MS = 180_000;
let store: ObjectStore;
let cluster: Cluster;
let world: VolumesWorld;
const running = new Map<string, Process>();

beforeAll(async () => {
  [store, cluster] = await Promise.all([startObjectStore(), startCluster()]);
  world = await VolumesWorld.open(cluster, { disk: "plain" });
}, TEST_MS);
afterAll(async () => {
  for (const one of running.values()) await one.end();
  const left = ["a", "b"].flatMap((data) => mountsOf(data));
  await world?.close();
  await cluster?.stop();
  await store?.stop();
  expect(left).toEqual([]);
}, TEST_MS);

const mountsOf = (data: string): string[] => {
  const directory = join(world.directory, data, "volume-manager-objects/mounts");
  return existsSync(directory) ? readdirSync(directory) : [];
};
async function start(data: string): Promise<Process> {
  const started = await startManager(world, { data });
  running.set(data, started);
  return started;
}

it("serves an object volume through each of two processes, and through one of them when the other was killed", {
  timeout: TEST_MS,
}, async () => {
  const [a, b] = await Promise.all([start("a"), start("b")]);
  const volume = await world.ready(await world.create({ backend: { kind: "object", remote: store.remote() } }));
  const path = `${volume.id}/files/content`;
  const write = (to: Process, text: string) => askAt(world, to, path, { method: "PUT", query: { path: "/f" }, bytes: Buffer.from(text) });
  const reads = (from: Process, text: string) =>
    eventually(async () => expect((await askAt(world, from, path, { query: { path: "/f" } })).text).toBe(text), PATIENT);
  expect((await write(a, "by a")).status).toBeLessThan(300);
  await reads(b, "by a");
  expect((await write(b, "by b")).status).toBeLessThan(300);
  await reads(a, "by b");
  await a.kill();
  expect((await write(b, "by b alone")).status).toBeLessThan(300);
  await reads(b, "by b alone");
  await reads(await start("a"), "by b alone");
});
