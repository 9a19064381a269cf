import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ListVolumes } from "@banyan/contracts";
import { newId } from "@banyan/kernel";
import { RcloneMounts } from "@banyan/runtime";
import { eventually } from "@banyan/testkit";
import { ObjectBackend, volumeBackendConformance } from "@banyan/volume-manager";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type ObjectStore, SECRET, startObjectStore } from "../node/object-store.ts";
import { type Cluster, codeOf, PATIENT, startCluster, VolumesWorld } from "./volumes-harness.ts";

const TEST_MS = 120_000;
let store: ObjectStore;

beforeAll(async () => {
  store = await startObjectStore();
}, TEST_MS);
afterAll(() => store?.stop());

describe("volumes in a store of objects", () => {
  const directory = mkdtempSync(join(tmpdir(), "banyan-objects-"));
  const mounts = new RcloneMounts({
    directory,
    cacheMb: 64,
    keepMs: 100,
    warn: (message, _volumeId, error) => console.error(message, error),
  });
  const backend = new ObjectBackend(mounts);
  afterAll(async () => {
    await backend.close();
    expect(readdirSync(join(directory, "mounts"))).toEqual([]);
    rmSync(directory, { recursive: true, force: true });
  }, TEST_MS);

  const volume = () => {
    const { volumeId: id, remote } = store.source();
    return { id, quotaMb: null, remote };
  };
  for (const { name, run } of volumeBackendConformance({ backend: async () => backend, volume })) it(name, run, TEST_MS);
});

describe("an object volume", () => {
  let cluster: Cluster;
  let world: VolumesWorld;
  beforeAll(async () => {
    cluster = await startCluster();
    world = await VolumesWorld.open(cluster, { disk: "plain" });
    await world.start();
  }, TEST_MS);
  afterAll(async () => {
    await world?.close();
    await cluster?.stop();
  }, TEST_MS);
  const made = () => world.create({ backend: { kind: "object", remote: store.remote({ secrets: SECRETS }) } });
  const SECRETS = { access_key_id: "S3RVER", secret_access_key: "a secret of this test" };

  it("gives its secrets to the node that mounts it and to nobody else: they are sealed at rest, and in no answer", async () => {
    const volume = await made();
    expect(volume).toMatchObject({ state: "ready", quotaEnforcedBy: "none", backend: { kind: "object", remote: { type: "s3" } } });
    const { mounts, orders } = await world.resolve({ volume: volume.id });
    expect(orders).toMatchObject([{ source: { kind: "object", store: "object", remote: { secrets: SECRETS } } }]);
    const { volumes } = await world.bus.call(ListVolumes, { orgId: world.orgId, labels: {}, cursor: null, limit: 100 });
    const [row] = await world.sql`select v::text as text from volumes v where id = ${volume.id}`;
    for (const seen of [volume, volumes, mounts, row]) {
      expect(JSON.stringify(seen)).toContain(volume.id);
      expect(JSON.stringify(seen)).not.toContain(SECRETS.secret_access_key);
    }
  });

  it(
    "is refused where its store does not let us in or is asked for what would give away the host, and leaves no name",
    async () => {
      const create = (changes: Parameters<ObjectStore["remote"]>[0]) =>
        codeOf(world.create({ name: "refused", backend: { kind: "object", remote: store.remote(changes) } }));
      expect(await create({ secrets: { access_key_id: "nobody", secret_access_key: SECRET } })).toBe("request.invalid");
      expect(await create({ options: { ...store.remote().options, env_auth: "true" } })).toBe("request.invalid");
      expect(await create({})).toBe("no error");
    },
    TEST_MS,
  );

  it(
    "is being made while its store does not answer, says why, and is ready when the store is back",
    async () => {
      await store.kill();
      const volume = await made();
      expect(volume).toMatchObject({ state: "creating", stateReason: expect.stringContaining("connection refused") });
      const mounted: unknown = await world.resolve({ volume: volume.id }).catch((error: unknown) => error);
      expect(mounted).toMatchObject({ code: "volume.not_ready", details: { reason: expect.stringContaining("connection refused") } });
      await store.start();
      expect(await world.ready(volume)).toMatchObject({ state: "ready", stateReason: null });
    },
    TEST_MS,
  );

  it(
    "has failed when its store has not answered for a while, with the reason and without the secret, and can be made again",
    async () => {
      const { volumes } = world.config;
      const { objectCreateMs } = volumes;
      const create = () => world.create({ name: "again", backend: { kind: "object", remote: store.remote({ secrets: SECRETS }) } });
      await store.kill();
      try {
        const volume = await create();
        await world.stop();
        volumes.objectCreateMs = 1;
        await world.start();
        const failed = await eventually(async () => {
          const seen = await world.get(volume.id);
          return seen.state === "failed" && seen;
        }, PATIENT);
        expect(failed.stateReason).toMatch(/connection refused.*Nothing was made.*create it again/);
        expect(failed.stateReason).not.toContain(SECRETS.secret_access_key);
        await world.remove(volume.id);
        // What has failed within the answer leaves neither row nor name.
        expect(await codeOf(create())).toBe("volume.unreachable");
        await store.start();
        expect(await create()).toMatchObject({ name: "again", state: "ready" });
      } finally {
        volumes.objectCreateMs = objectCreateMs;
        await store.start();
      }
    },
    TEST_MS,
  );

  it("has no versions, no forks and no quota, and says so", async () => {
    const volume = await made();
    expect(await codeOf(world.snapshot(volume.id))).toBe("volume.unsupported");
    expect(await codeOf(world.create({ from: { volume: volume.id, versionId: null } }))).toBe("volume.unsupported");
    const quota = { backend: { kind: "object" as const, remote: store.remote() }, quotaMb: 10, volumeId: newId("vol") };
    expect(await codeOf(world.create(quota))).toBe("volume.unsupported");
  });

  it("is only forgotten when it is deleted: its files are the store's", async () => {
    const volume = await made();
    expect(await world.remove(volume.id)).toBe("deleting");
    expect(await codeOf(world.resolve({ volume: volume.id }))).toMatch(/^volume\.not_/);
  });
});
