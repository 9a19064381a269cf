import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { newId } from "@banyan/kernel";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type Cluster, codeOf, PATIENT, startCluster, VolumesWorld } from "./volumes-harness.ts";

let cluster: Cluster;
let world: VolumesWorld;

beforeAll(async () => {
  cluster = await startCluster();
  world = await VolumesWorld.open(cluster, { disk: "plain" });
  await world.start();
}, PATIENT.timeoutMs);
afterAll(async () => {
  await world?.close();
  await cluster?.stop();
});

/** A volume, and a version of what was in it before. */
async function withTwoStates() {
  const volume = await world.ready(await world.create());
  writeFileSync(join(world.content(volume), "f"), "first");
  const version = await world.versionReady(await world.snapshot(volume.id));
  writeFileSync(join(world.content(volume), "f"), "second");
  return { volume, version };
}
const textIn = (volume: { id: string }): string => readFileSync(join(world.content(volume), "f"), "utf8");
const fork = (volume: { id: string }, versionId: string | null = null) => world.create({ from: { volume: volume.id, versionId } });
/** As another process has it that is at work on it, or has just ended it; it takes no place of a copy here. */
const isBeing = (state: "creating" | "restoring", table: "volumes" | "versions", { id }: { id: string }) =>
  world.sql`update ${world.sql(table)} set state = ${state}, is_copy = false, lease_until = now() + interval '1 hour' where id = ${id}`;
const isDone = (table: "volumes" | "versions", { id }: { id: string }) =>
  world.sql`update ${world.sql(table)} set state = 'ready', lease_until = null where id = ${id}`;

it("restores nothing under a fork or a version that is being made of the content, and does when these are whole", async () => {
  const { volume, version } = await withTwoStates();
  const copies = [
    { table: "volumes" as const, copy: await world.ready(await fork(volume)) },
    { table: "versions" as const, copy: await world.versionReady(await world.snapshot(volume.id)) },
  ];
  for (const { table, copy } of copies) {
    await isBeing("creating", table, copy);
    await expect(world.restore(volume.id, version.id)).rejects.toMatchObject({
      code: "volume.not_ready",
      details: { copy: copy.id, retryAfterMs: expect.any(Number) },
    });
    // It goes on as it was, and can be mounted.
    expect((await world.get(volume.id)).state).toBe("ready");
    expect(await codeOf(world.resolve({ volume: volume.id }))).toBe("no error");
    await isDone(table, copy);
  }
  // A fork of a version is none of the content.
  const other = await world.ready(await fork(volume, version.id));
  await isBeing("creating", "volumes", other);
  await world.restore(volume.id, version.id);
  await world.ready(volume);
  expect(textIn(volume)).toBe("first");
  await isDone("volumes", other);
});

it("makes neither a fork nor a version of content that is being restored", async () => {
  const { volume, version } = await withTwoStates();
  await isBeing("restoring", "volumes", volume);
  expect(await codeOf(fork(volume))).toBe("volume.not_ready");
  expect(await codeOf(fork(volume, version.id))).toBe("volume.not_ready");
  expect(await codeOf(world.snapshot(volume.id))).toBe("volume.not_ready");
  await isDone("volumes", volume);
  expect(textIn(await world.ready(await fork(volume)))).toBe("second");
});

it("does not restore while a sandbox of a node that is away may go on with the content", async () => {
  const { volume, version } = await withTwoStates();
  const user = { sandboxId: newId("sbx"), state: "failed" as const, path: "/d", mode: "rw" as const, versionId: null };
  world.users = async () => ({ users: [{ ...user, mayRun: true }], forks: 0, total: 1 });
  expect(await codeOf(world.restore(volume.id, version.id))).toBe("volume.in_use");
  expect(await codeOf(world.remove(volume.id, true))).toBe("volume.in_use");
  world.users = async () => ({ users: [user], forks: 0, total: 1 });
  await world.restore(volume.id, version.id);
  await world.ready(volume);
  expect(textIn(volume)).toBe("first");
});
