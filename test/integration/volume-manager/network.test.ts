import { join } from "node:path";
import { newId, silentLogger, systemClock } from "@banyan/kernel";
import { eventually } from "@banyan/testkit";
import { DirectoryBackend, StoreWatch, volumeBackendConformance } from "@banyan/volume-manager";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Gluster, type GlusterMount, startGluster } from "../../e2e/apart/gluster.ts";

const TEST_MS = 180_000;
const PATIENT = { timeoutMs: 60_000, intervalMs: 100 };
let gluster: Gluster;
let mounts: GlusterMount[];

beforeAll(async () => {
  gluster = await startGluster();
  mounts = [await gluster.mount("one"), await gluster.mount("two")];
}, TEST_MS);
afterAll(() => gluster?.stop(), TEST_MS);

/** By one of the mounts in turn: what one process has made the next one finds by another. */
let turns = 0;
async function watchOf(index: number): Promise<StoreWatch> {
  const root = join(mounts[index % mounts.length]?.path ?? "", "store");
  const config = { root, image: null, probeEveryMs: 60_000, probeTimeoutMs: 2_000, onStop: "keep" as const };
  const watch = new StoreWatch(config, {
    clock: systemClock,
    logger: silentLogger,
    knownStores: async () => [],
    closeStore: async () => {},
  });
  await watch.look();
  return watch;
}

describe("volumes in a directory on GlusterFS, each process by a mount of its own", () => {
  const backend = async () => new DirectoryBackend(await watchOf(turns++));
  const volume = () => ({ id: newId("vol"), quotaMb: null, remote: null });
  for (const { name, run } of volumeBackendConformance({ backend, volume })) it(name, run, TEST_MS);
});

it(
  "is the same store by each mount, lost while the server is gone, and there by itself when it is back",
  async () => {
    const watches = [await watchOf(0), await watchOf(1)];
    const [first, second] = watches.map((watch) => watch.store().id);
    expect(first).toBe(second);
    const states = async (): Promise<string[]> => {
      for (const watch of watches) await watch.look();
      return watches.map((watch) => watch.state().state);
    };
    await gluster.kill();
    await eventually(async () => expect(await states()).toEqual(["lost", "lost"]), PATIENT);
    await gluster.start();
    await eventually(async () => expect(await states()).toEqual(["ok", "ok"]), PATIENT);
  },
  TEST_MS,
);
