import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { newId, silentLogger, systemClock } from "@banyan/kernel";
import { mountAt, unmountImage } from "@banyan/runtime";
import { DirectoryBackend, StoreWatch, volumeBackendConformance } from "@banyan/volume-manager";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { IMAGE_MB } from "./volumes-harness.ts";

const HAS_XFS = kernelHas("xfs");
const DISKS = ["btrfs", "plain", "xfs"] as const;
type Disk = (typeof DISKS)[number];
const WORK = { signal: new AbortController().signal, attempt: 1, progress: () => {} };
const volume = (quotaMb: number | null = null) => ({ id: newId("vol"), quotaMb, remote: null });

/** The backend of a store below this directory; called again, another one of the same store. */
async function open(directory: string, disk: Disk): Promise<DirectoryBackend> {
  if (disk === "xfs") mountXfs(directory);
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

const MB = 1024 * 1024;
/** The smallest that mkfs.xfs makes are 300 MB. */
const XFS_SIZE = "512M";

/** Debian and Ubuntu have it as a module; a few kernels of clouds and containers were built without. */
function kernelHas(filesystem: string): boolean {
  spawnSync("modprobe", [filesystem], { stdio: "ignore" });
  return readFileSync("/proc/filesystems", "utf8").split("\n").includes(`\t${filesystem}`);
}

const lacks = (disk: Disk): boolean => disk === "xfs" && !HAS_XFS;
const fill = (path: string, mb: number): void => writeFileSync(path, Buffer.alloc(mb * MB, "x"), { flush: true });

/** When all that was written and removed is on the disk. */
function freeMb(directory: string): number {
  const root = join(directory, "volumes");
  execFileSync("sync", ["--file-system", root]);
  const { bfree, bsize } = statfsSync(root);
  return (bfree * bsize) / MB;
}

/** An XFS of its own where the store is, once. */
function mountXfs(directory: string): void {
  const [image, root] = [join(directory, "xfs.img"), join(directory, "volumes")];
  if (mountAt(root) !== undefined) return;
  execFileSync("truncate", ["--size", XFS_SIZE, image]);
  execFileSync("mkfs.xfs", ["-q", image]);
  mkdirSync(root);
  execFileSync("mount", ["-t", "xfs", "-o", "loop", image, root]);
}

async function clean(directory: string): Promise<void> {
  const root = join(directory, "volumes");
  if (mountAt(root)?.fsType === "xfs") execFileSync("umount", [root]);
  await unmountImage({ image: imageIn(directory).path, directory: root, sizeMb: null });
  rmSync(directory, { recursive: true, force: true });
}

describe.each(DISKS)("volumes in a directory on %s", (disk) => {
  const directory = mkdtempSync(join(tmpdir(), "banyan-backend-"));
  afterAll(() => clean(directory));

  for (const { name, run } of volumeBackendConformance({ backend: () => open(directory, disk), volume })) it.skipIf(lacks(disk))(name, run);
});

describe.skipIf(lacks("xfs"))("copies on xfs", () => {
  const directory = mkdtempSync(join(tmpdir(), "banyan-reflink-"));
  afterAll(() => clean(directory));

  it("take no space for what they share, only for what is written to one of them", async () => {
    const backend = await open(directory, "xfs");
    const [source, fork, versionId] = [volume(), volume(), newId("ver")];
    await backend.create(source);
    fill(join(await backend.open(source, null), "large"), 64);
    const before = freeMb(directory);
    await backend.snapshot(source, versionId, WORK);
    await backend.fork({ volume: source, versionId }, fork, WORK);
    await backend.restore(source, versionId, WORK);
    expect(before - freeMb(directory)).toBeLessThan(4);
    fill(join(await backend.open(fork, null), "large"), 64);
    expect(before - freeMb(directory)).toBeGreaterThan(60);
  });
});

describe("quotas on btrfs", () => {
  const directory = mkdtempSync(join(tmpdir(), "banyan-quota-"));
  let backend: DirectoryBackend;
  beforeAll(async () => {
    backend = await open(directory, "btrfs");
  });
  afterAll(() => clean(directory));

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
