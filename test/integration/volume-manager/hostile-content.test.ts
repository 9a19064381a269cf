import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readdirSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { newId, silentLogger, systemClock } from "@banyan/kernel";
import { unmountImage } from "@banyan/runtime";
import { DirectoryBackend, StoreWatch } from "@banyan/volume-manager";
import { afterAll, expect, it } from "vitest";
import { PlainSubstrate } from "../../../services/volume-manager/src/backends/plain-substrate.ts";
import { IMAGE_MB } from "./volumes-harness.ts";

/** What a sandbox that may write to a volume can put there, and what the volume-manager does with it as root of the host. */
const directory = mkdtempSync(join(tmpdir(), "banyan-hostile-"));
const imageOf = (root: string) => ({ path: `${root}.img`, sizeMb: IMAGE_MB });
const roots = { plain: join(directory, "plain"), btrfs: join(directory, "btrfs") };
const WORK = { signal: new AbortController().signal, attempt: 1, progress: () => {} };

afterAll(async () => {
  await unmountImage({ image: imageOf(roots.btrfs).path, directory: roots.btrfs, sizeMb: null });
  rmSync(directory, { recursive: true, force: true });
});

async function made(disk: keyof typeof roots) {
  const root = roots[disk];
  const config = {
    root,
    image: disk === "btrfs" ? imageOf(root) : null,
    probeEveryMs: 60_000,
    probeTimeoutMs: 10_000,
    onStop: "keep" as const,
  };
  const deps = { clock: systemClock, logger: silentLogger, knownStores: async () => [], closeStore: async () => {} };
  const watch = new StoreWatch(config, deps);
  await watch.look();
  const backend = new DirectoryBackend(watch);
  const volume = { id: newId("vol"), quotaMb: null, remote: null };
  await backend.create(volume);
  return { backend, volume, path: await backend.open(volume, null) };
}

/** Told by its lease on a file that somebody is about to read it, it puts a symlink in the directory's place: no luck is needed. Answers its exit. */
async function swapAtFirstOpen(from: string, to: string): Promise<{ exitCode: Promise<number | null> }> {
  const script = `my ($from, $to) = @ARGV; $| = 1; $SIG{ALRM} = sub { exit 3 }; alarm 60;
    $SIG{IO} = sub { rename($from, "$from.old") && symlink($to, $from) || exit 2; exit 0 };
    for (glob "$from/*") { open my $file, "+<", $_ or die; fcntl($file, 1024, 1) or die "lease: $!"; push @held, $file }
    print "armed"; sleep 1 while 1`;
  const child = spawn("perl", ["-e", script, from, to], { stdio: ["ignore", "pipe", "inherit"] });
  const exitCode = once(child, "exit").then(([code]) => code);
  await once(child.stdout, "data");
  return { exitCode };
}

it("copies nothing of the host where a directory becomes a symlink while it is copied", async () => {
  const { backend, volume, path } = await made("plain");
  const [within, outside] = [join(path, "within"), join(directory, "outside")];
  for (const each of [within, outside]) {
    mkdirSync(each);
    for (let i = 0; i < 8; i++) writeFileSync(join(each, `${i}`), "");
  }
  const versionId = newId("ver");
  const swap = await swapAtFirstOpen(within, outside);
  await expect(backend.snapshot(volume, versionId, WORK)).rejects.toThrow(/symbolic links/);
  expect(await swap.exitCode).toBe(0);
  await expect(backend.open(volume, versionId)).rejects.toThrow();
  await backend.snapshot(volume, versionId, { ...WORK, attempt: 2 });
  expect(readlinkSync(join(await backend.open(volume, versionId), "within"))).toBe(outside);
});

it("gives up a copy that stands still, for others wait for their turn", async () => {
  const [from, to] = [join(directory, "held"), join(directory, "copy")];
  mkdirSync(from);
  writeFileSync(join(from, "file"), "");
  // For as long as the kernel lets a lease be kept from whoever wants to read: 45 s.
  const script = `alarm 120; $| = 1; $SIG{IO} = sub {}; open my $f, "+<", $ARGV[0]; fcntl($f, 1024, 1) or die "lease: $!"; print "held"; sleep 1 while 1`;
  const child = spawn("perl", ["-e", script, join(from, "file")], { stdio: ["ignore", "pipe", "inherit"] });
  try {
    await once(child.stdout, "data");
    const copying = new PlainSubstrate({ standstillMs: 2_000 }).copy(from, to, { bytes: null }, WORK);
    await expect(copying).rejects.toThrow(/stands still/);
  } finally {
    child.kill("SIGKILL");
  }
});

it("restores and removes a volume whatever subvolumes were made inside, read-only ones too", async () => {
  const { backend, volume, path } = await made("btrfs");
  const versionId = newId("ver");
  await backend.snapshot(volume, versionId, WORK);
  const spoil = (): void => {
    mkdirSync(join(path, "deep/deeper"), { recursive: true });
    writeFileSync(join(path, "deep/file"), "");
    execFileSync("btrfs", ["subvolume", "snapshot", "-r", path, join(path, "deep/deeper/-kept\nso")], { stdio: "ignore" });
    execFileSync("btrfs", ["subvolume", "snapshot", path, join(path, "deep/more")], { stdio: "ignore" });
  };
  spoil();
  await backend.restore(volume, versionId, WORK);
  expect(readdirSync(path)).toEqual([]);
  spoil();
  await backend.remove(volume, WORK);
  expect(readdirSync(join(roots.btrfs, "volumes"))).toEqual([]);
});
