import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { newId, silentLogger, systemClock } from "@banyan/kernel";
import { unmountImage } from "@banyan/runtime";
import { DirectoryBackend, StoreWatch, volumeBackendConformance } from "@banyan/volume-manager";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { IMAGE_MB } from "./volumes-harness.ts";

const DISKS = ["btrfs", "plain"] as const;
const WORK = { signal: new AbortController().signal, attempt: 1, progress: () => {} };
const volume = (quotaMb: number | null = null) => ({ id: newId("vol"), quotaMb, remote: null });

/** The backend of a store below this directory; called again, another one of the same store. */
async function open(directory: string, disk: (typeof DISKS)[number]): Promise<DirectoryBackend> {
  const config = { root: join(directory, "volumes"), image: disk === "btrfs" ? imageIn(directory) : null, ...LOOKS };
  const watch = new StoreWatch(config, {
    clock: systemClock,
    logger: silentLogger,
    knownStores: async () => [],
    closeStore: async () => {},
  });
  await watch.look();
  return new DirectoryBackend(watch);
}

/** Node has no name for the kernel's "quota exceeded". */
const NO_SPACE = expect.objectContaining({ errno: -122 });
const LOOKS = { probeEveryMs: 60_000, probeTimeoutMs: 10_000, onStop: "keep" as const };
const imageIn = (directory: string) => ({ path: join(directory, "volumes.img"), sizeMb: IMAGE_MB });

async function clean(directory: string): Promise<void> {
  await unmountImage({ image: imageIn(directory).path, directory: join(directory, "volumes"), sizeMb: null });
  rmSync(directory, { recursive: true, force: true });
}

describe.each(DISKS)("volumes in a directory on %s", (disk) => {
  const directory = mkdtempSync(join(tmpdir(), "banyan-backend-"));
  afterAll(() => clean(directory));

  for (const { name, run } of volumeBackendConformance({ backend: () => open(directory, disk), volume })) it(name, run);
});

describe("quotas on btrfs", () => {
  const directory = mkdtempSync(join(tmpdir(), "banyan-quota-"));
  let backend: DirectoryBackend;
  beforeAll(async () => {
    backend = await open(directory, "btrfs");
  });
  afterAll(() => clean(directory));
  const fill = (path: string, mb: number): void => writeFileSync(path, Buffer.alloc(mb * 1024 * 1024, "x"), { flush: true });

  it("are the kernel's, and elsewhere those of uploads", async () => {
    expect(backend.capabilities()).toMatchObject({ quota: "kernel", sharesBlocks: true });
    const plain = mkdtempSync(join(tmpdir(), "banyan-plain-"));
    expect((await open(plain, "plain")).capabilities()).toMatchObject({ quota: "upload", sharesBlocks: false });
    await clean(plain);
  });

  it("refuse what goes beyond them, wherever it is written, and take more when they are raised", async () => {
    const small = volume(32);
    await backend.create(small);
    const path = await backend.open(small, null);
    expect(() => fill(join(path, "large"), 48)).toThrow(NO_SPACE);
    rmSync(join(path, "large"));
    await backend.setQuota({ ...small, quotaMb: 128 });
    fill(join(path, "large"), 48);
    await backend.remove(small, WORK);
  });

  it("count subvolumes that are made inside, and what versions keep", async () => {
    const small = volume(32);
    await backend.create(small);
    const path = await backend.open(small, null);
    execFileSync("btrfs", ["subvolume", "create", join(path, "inner")], { stdio: "ignore" });
    expect(() => fill(join(path, "inner/large"), 48)).toThrow(NO_SPACE);
    await backend.remove(small, WORK);
    await backend.create(small);
    fill(join(await backend.open(small, null), "kept"), 20);
    const versionId = newId("ver");
    await backend.snapshot(small, versionId, WORK);
    rmSync(join(await backend.open(small, null), "kept"));
    expect(() => fill(join(path, "more"), 20)).toThrow(NO_SPACE);
    await backend.remove(small, WORK);
  });
});
