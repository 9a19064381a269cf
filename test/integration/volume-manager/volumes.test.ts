import { existsSync } from "node:fs";
import { CreateVolume, GetVolumeUsers, ListVersions, ListVolumes, RouteVolume, UpdateVolume, type VolumeUser } from "@banyan/contracts";
import { newId } from "@banyan/kernel";
import { eventually } from "@banyan/testkit";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type Cluster, codeOf, PATIENT, startCluster, VolumesWorld } from "./volumes-harness.ts";

let cluster: Cluster;
let world: VolumesWorld;

beforeAll(async () => {
  cluster = await startCluster();
  world = await VolumesWorld.open(cluster, { disk: "plain" });
  await world.start();
});
afterAll(async () => {
  await world?.close();
  await cluster?.stop();
});
beforeEach(() => {
  world.users = async () => ({ users: [], forks: 0, total: 0 });
});

const user = (changes: Partial<VolumeUser> = {}): VolumeUser => ({
  sandboxId: newId("sbx"),
  state: "running",
  path: "/data",
  mode: "rw",
  versionId: null,
  ...changes,
});
const usedBy = (...users: VolumeUser[]) => {
  world.users = async () => ({ users, forks: 0, total: users.length });
};

it("makes an empty volume, and answers a repeated call like the first", async () => {
  const volumeId = newId("vol");
  const made = await world.create({ volumeId, name: "corpus", labels: { team: "a" }, quotaMb: 100 });
  expect(made).toMatchObject({ id: volumeId, name: "corpus", state: "ready", quotaMb: 100, usage: { bytes: 0, files: 0 } });
  expect(existsSync(world.content(made))).toBe(true);
  expect((await world.create({ volumeId, name: "corpus" })).id).toBe(volumeId);
  expect((await world.get("corpus")).id).toBe(volumeId);
});

it("gives one of two that are made at once the name", async () => {
  const results = await Promise.all(Array.from({ length: 8 }, () => codeOf(world.create({ name: "contested" }))));
  expect(results.toSorted()).toEqual(["no error", ...Array.from({ length: 7 }, () => "volume.name_taken")]);
});

it("lets another organisation have the same name, and see nothing of it", async () => {
  const own = await world.create({ name: "apart" });
  const other = newId("org");
  expect((await world.create({ orgId: other, name: "apart" })).id).not.toBe(own.id);
  expect(await codeOf(world.create({ orgId: other, volumeId: own.id }))).toBe("volume.name_taken");
  const { volumes } = await world.bus.call(ListVolumes, { orgId: other, labels: {}, cursor: null, limit: 100 });
  expect(volumes.map(({ id }) => id)).not.toContain(own.id);
});

it("finds nothing by a name that the database cannot even hold", async () => {
  const { id } = await world.create();
  expect(await codeOf(world.get("a\0b"))).toBe("volume.not_found");
  expect(await codeOf(world.resolve({ volume: "a\0b" }))).toBe("volume.not_found");
  expect(await codeOf(world.version(id, "a\0b"))).toBe("volume.version_not_found");
});

it("renames and labels: null removes, what is not named stays", async () => {
  const { id, version } = await world.create({ name: "before", labels: { keep: "1", gone: "2" } });
  const update = { orgId: world.orgId, volume: id, name: "after", labels: { gone: null, fresh: "3" } };
  const { volume } = await world.bus.call(UpdateVolume, update);
  expect(volume).toMatchObject({ name: "after", labels: { keep: "1", fresh: "3" } });
  expect(volume.version).toBeGreaterThan(version);
  await world.create({ name: "taken" });
  expect(await codeOf(world.bus.call(UpdateVolume, { ...update, name: "taken" }))).toBe("volume.name_taken");
});

it("keeps every one of many changes that are made at once", async () => {
  const { id } = await world.create();
  const label = (key: string) => world.bus.call(UpdateVolume, { orgId: world.orgId, volume: id, labels: { [key]: "1" } });
  await Promise.all(["a", "b", "c"].map(label));
  expect((await world.get(id)).labels).toEqual({ a: "1", b: "1", c: "1" });
});

it("refuses more labels than there may be, and says so", async () => {
  const { id } = await world.create();
  const labels = Object.fromEntries(Array.from({ length: 40 }, (_, i) => [`l${i}`, "x"]));
  expect(await codeOf(world.bus.call(UpdateVolume, { orgId: world.orgId, volume: id, labels }))).toBe("request.invalid");
});

it("tells where the content of a volume is served", async () => {
  const { id } = await world.create();
  const route = await world.bus.call(RouteVolume, { orgId: world.orgId, volume: id });
  expect(route).toMatchObject({ volumeId: id });
  expect(route.url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
});

describe("in use", () => {
  it("is not deleted, says by whom, and stays as it was", async () => {
    const { id } = await world.create();
    const one = user();
    usedBy(one);
    await expect(world.remove(id)).rejects.toMatchObject({
      code: "volume.in_use",
      details: { usedBy: [{ sandboxId: one.sandboxId, path: "/data", mode: "rw", state: "running" }], count: 1 },
    });
    expect((await world.get(id)).state).toBe("ready");
    expect(await codeOf(world.resolve({ volume: id }))).toBe("no error");
    expect(await world.bus.call(GetVolumeUsers, { orgId: world.orgId, volume: id })).toMatchObject({ total: 1, users: [one] });
  });

  it("is deleted by force where only stopped sandboxes have it", async () => {
    const { id } = await world.create();
    usedBy(user({ state: "stopped" }));
    expect(await codeOf(world.remove(id))).toBe("volume.in_use");
    expect(await world.remove(id, true)).toBe("deleting");
    usedBy(user());
    const other = await world.create();
    expect(await codeOf(world.remove(other.id, true))).toBe("volume.in_use");
  });

  it("is resolved for nobody while a delete asks who uses it", async () => {
    const { id } = await world.create();
    const asked = Promise.withResolvers<void>();
    const answer = Promise.withResolvers<void>();
    world.users = async () => {
      asked.resolve();
      await answer.promise;
      return { users: [user()], forks: 0, total: 1 };
    };
    const removing = codeOf(world.remove(id));
    await asked.promise;
    expect(await codeOf(world.resolve({ volume: id }))).toBe("volume.not_ready");
    answer.resolve();
    expect(await removing).toBe("volume.in_use");
    expect(await codeOf(world.resolve({ volume: id }))).toBe("no error");
  });

  it("keeps its files for a sandbox that was being started when it was deleted", async () => {
    const late = user();
    const gone = await world.create();
    let asked = 0;
    world.users = async ({ volumeId }) => {
      if (volumeId !== gone.id) return { users: [], forks: 0, total: 0 };
      asked++;
      return asked === 1 ? { users: [], forks: 0, total: 0 } : { users: [late], forks: 0, total: 1 };
    };
    expect(await world.remove(gone.id)).toBe("deleting");
    await eventually(() => asked > 3, PATIENT);
    expect(existsSync(world.content(gone))).toBe(true);
    usedBy();
    await eventually(() => !existsSync(world.content(gone)), PATIENT);
  });
});

it("removes the files of a deleted volume, frees its name at once, and answers a second delete like the first", async () => {
  const volume = await world.create({ name: "short-lived" });
  expect(await world.remove("short-lived")).toBe("deleting");
  await world.create({ name: "short-lived" });
  await eventually(async () => expect(await world.remove(volume.id)).toBe("deleted"), PATIENT);
  expect(existsSync(world.content(volume))).toBe(false);
  expect(await codeOf(world.get(volume.id))).toBe("volume.not_found");
  expect(await codeOf(world.remove(newId("vol")))).toBe("volume.not_found");
});

it("turns names into ids and orders, and refuses what cannot be mounted", async () => {
  const volume = await world.create({ name: "mounted" });
  const version = await world.ready(volume).then(() => world.snapshot(volume.id, "v1"));
  await eventually(async () => expect((await world.version(volume.id, version.id)).state).toBe("ready"), PATIENT);
  const { mounts, orders } = await world.resolve(
    { volume: "mounted", path: "/a" },
    { volume: "mounted", version: "v1", path: "/b", mode: "cow", subpath: "x" },
  );
  expect(mounts.map((mount) => [mount.volume, mount.version])).toEqual([
    [volume.id, null],
    [volume.id, version.id],
  ]);
  expect(orders[1]).toMatchObject({ path: "/b", subpath: "x", mode: "cow", source: { volumeId: volume.id, versionId: version.id } });
  expect(await codeOf(world.resolve({ volume: "nobody" }))).toBe("volume.not_found");
  expect(await codeOf(world.resolve({ volume: "mounted", version: "v2", mode: "ro" }))).toBe("volume.version_not_found");
});

it("refuses more volumes than an organisation may have, and pages through thousands", async () => {
  const orgId = newId("org");
  const first = await world.create({ orgId });
  await world.sql`
    insert into volumes select (jsonb_populate_record(v, jsonb_build_object('id', 'vol_' || lpad(i::text, 26, '0'), 'labels', jsonb_build_object('odd', (i % 2)::text)))).*
    from volumes v, generate_series(1, 2500) i where v.id = ${first.id}`;
  const { code, details } = await world.create({ orgId }).catch((error) => error);
  expect({ code, max: details.max }).toEqual({ code: "volume.too_many", max: 1_000 });
  const seen = new Set<string>();
  let cursor: string | null = null;
  do {
    const page: { volumes: { id: string }[]; nextCursor: string | null } = await world.bus.call(ListVolumes, {
      orgId,
      labels: { odd: "1" },
      cursor,
      limit: 200,
    });
    for (const { id } of page.volumes) seen.add(id);
    cursor = page.nextCursor;
  } while (cursor !== null);
  expect(seen.size).toBe(1_250);
});

it("has versions of a volume that is there only", async () => {
  expect(await codeOf(world.bus.call(ListVersions, { orgId: world.orgId, volume: "nobody", cursor: null, limit: 10 }))).toBe(
    "volume.not_found",
  );
  expect(await codeOf(world.bus.call(CreateVolume, { ...forkOf("nobody") }))).toBe("volume.not_found");
});

const forkOf = (volume: string) => ({
  orgId: world.orgId,
  volumeId: newId("vol"),
  name: null,
  labels: {},
  quotaMb: null,
  backend: { kind: "directory" as const },
  from: { volume, versionId: null },
});

it("keeps no quota for a store of somebody else's, and says so before it is reached", async () => {
  const remote = { type: "s3" as const, path: "bucket", options: {}, secrets: {} };
  const made = world.create({ backend: { kind: "object", remote }, quotaMb: 10 });
  await expect(made).rejects.toMatchObject({ code: "volume.unsupported", details: { operation: "quota" } });
});
