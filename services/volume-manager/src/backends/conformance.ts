import assert from "node:assert/strict";
import { mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fault, isFault } from "@banyan/contracts";
import { newId } from "@banyan/kernel";
import { UNFINISHED_DIRECTORY } from "@banyan/runtime";
import type { BackendVolume, VolumeBackend, Work } from "./port.ts";

export interface BackendHarness {
  /** The backend of a store; called again, another one of the same store, as after a restart. */
  backend(): Promise<VolumeBackend>;
  /** A volume of this backend that is not made yet. */
  volume(): BackendVolume;
}

const MB = 1024 * 1024;
const WORK: Work = { signal: new AbortController().signal, attempt: 1, progress: () => {} };
const next = (attempt: number): Work => ({ ...WORK, attempt });

type Run = (backend: VolumeBackend, volume: BackendVolume, path: string) => Promise<void>;

/** What every backend of volumes promises, as cases that any test runner can run; what `capabilities` denies is refused. Each leaves nothing behind. */
export function volumeBackendConformance(harness: BackendHarness): { name: string; run: () => Promise<void> }[] {
  const made = (name: string, run: Run) => ({
    name,
    run: async () => {
      const backend = await harness.backend();
      const volume = harness.volume();
      await backend.create(volume);
      try {
        await run(backend, volume, await backend.open(volume, null));
      } finally {
        await backend.remove(volume, WORK);
      }
    },
  });
  return [
    made("makes a volume that can be written to, and again without loss", async (backend, volume, path) => {
      write(path, "kept");
      await backend.create(volume);
      assert.equal(read(await backend.open(volume, null)), "kept");
    }),
    made("finds it again after a restart", async (_backend, volume, path) => {
      write(path, "kept");
      assert.equal(read(await (await harness.backend()).open(volume, null)), "kept");
    }),
    made("takes a quota, and none again", async (backend, volume) => {
      if (backend.capabilities().quota === "none") return;
      await backend.setQuota({ ...volume, quotaMb: 64 });
      await backend.setQuota({ ...volume, quotaMb: null });
    }),
    ...versionCases(made),
    ...forkCases(harness, made),
    made("measures what is in it", async (backend, volume, path) => {
      writeFileSync(join(path, "large"), Buffer.alloc(4 * MB, "x"));
      const { bytes, files } = await backend.usage(volume, null, WORK.signal);
      if (backend.kind === "object") return;
      assert.equal(files, 1);
      assert.ok(bytes !== null && bytes >= 4 * MB && bytes < 6 * MB, `measured ${bytes}`);
    }),
    {
      name: "removes a volume with all its versions, and again without complaint",
      run: async () => {
        const backend = await harness.backend();
        const volume = harness.volume();
        await backend.create(volume);
        if (backend.capabilities().versions) await backend.snapshot(volume, newId("ver"), WORK);
        await backend.remove(volume, WORK);
        await backend.remove(volume, next(2));
        if (backend.kind === "directory") await assert.rejects(backend.open(volume, null), (error) => isFault(error, "volume.not_found"));
      },
    },
  ];
}

function versionCases(made: (name: string, run: Run) => { name: string; run: () => Promise<void> }) {
  const versioned = (name: string, run: Run) =>
    made(name, async (backend, volume, path) => {
      if (backend.capabilities().versions) return run(backend, volume, path);
      await assert.rejects(backend.snapshot(volume, newId("ver"), WORK), (error) => isFault(error, "volume.unsupported"));
    });
  return [
    versioned("keeps a version as it was while the content changes", async (backend, volume, path) => {
      write(path, "first");
      symlinkSync("nowhere", join(path, "link"));
      const versionId = newId("ver");
      await backend.snapshot(volume, versionId, WORK);
      write(path, "second");
      const version = await backend.open(volume, versionId);
      assert.equal(read(version), "first");
      assert.deepEqual(readdirSync(version).toSorted(), ["file", "link"]);
      await backend.snapshot(volume, versionId, next(2));
      assert.equal(read(await backend.open(volume, versionId)), "first");
      await backend.removeVersion(volume, versionId, WORK);
      await backend.removeVersion(volume, versionId, next(2));
      await assert.rejects(backend.open(volume, versionId), (error) => isFault(error, "volume.version_not_found"));
    }),
    versioned("leaves out uploads that are under way, and nothing else", async (backend, volume, path) => {
      mkdirSync(join(path, UNFINISHED_DIRECTORY, "uploads"), { recursive: true });
      mkdirSync(join(path, ".banyan"));
      write(path, "content");
      const versionId = newId("ver");
      await backend.snapshot(volume, versionId, WORK);
      assert.deepEqual(readdirSync(await backend.open(volume, versionId)).toSorted(), [".banyan", "file"]);
    }),
    versioned("puts the content back to a version, and again", async (backend, volume, path) => {
      write(path, "first");
      const versionId = newId("ver");
      await backend.snapshot(volume, versionId, WORK);
      write(path, "second");
      writeFileSync(join(path, "later"), "");
      for (const attempt of [1, 2]) {
        await backend.restore(volume, versionId, next(attempt));
        const content = await backend.open(volume, null);
        assert.deepEqual(readdirSync(content), ["file"]);
        assert.equal(read(content), "first");
      }
      write(await backend.open(volume, null), "third");
      assert.equal(read(await backend.open(volume, versionId)), "first");
    }),
    versioned("leaves the content as it was when a restore is aborted", async (backend, volume, path) => {
      write(path, "first");
      const versionId = newId("ver");
      await backend.snapshot(volume, versionId, WORK);
      write(path, "second");
      const signal = AbortSignal.abort(fault("volume.in_use"));
      await assert.rejects(backend.restore(volume, versionId, { ...WORK, signal }));
      assert.equal(read(await backend.open(volume, null)), "second");
    }),
    versioned("puts the content back once more after a restore that was cut short before its end", async (backend, volume, path) => {
      if (backend.kind !== "directory") return;
      write(path, "first");
      const versionId = newId("ver");
      await backend.snapshot(volume, versionId, WORK);
      mkdirSync(`${path}.old`);
      writeFileSync(`${path}.old/file`, "second");
      await backend.restore(volume, versionId, next(2));
      assert.equal(read(await backend.open(volume, null)), "first");
      assert.deepEqual(await backend.leftBehind(), []);
    }),
    versioned("clears away what a try that was cut short has left", async (backend, volume, path) => {
      if (backend.kind !== "directory") return;
      mkdirSync(`${path}.7.draft`);
      writeFileSync(`${path}.7.draft/half`, "");
      assert.ok((await backend.leftBehind()).includes(volume.id));
      await backend.tidy(volume);
      assert.ok(!(await backend.leftBehind()).includes(volume.id));
    }),
  ];
}

function forkCases(harness: BackendHarness, made: (name: string, run: Run) => { name: string; run: () => Promise<void> }) {
  return [
    made("forks a volume and a version of it, each apart from then on", async (backend, volume, path) => {
      const [target, pinned] = [harness.volume(), harness.volume()];
      if (!backend.capabilities().forks) {
        await assert.rejects(backend.fork({ volume, versionId: null }, target, WORK), (error) => isFault(error, "volume.unsupported"));
        return;
      }
      write(path, "first");
      const versionId = newId("ver");
      await backend.snapshot(volume, versionId, WORK);
      write(path, "second");
      try {
        for (const attempt of [1, 2]) await backend.fork({ volume, versionId: null }, target, next(attempt));
        await backend.fork({ volume, versionId }, pinned, WORK);
        const [fork, old] = [await backend.open(target, null), await backend.open(pinned, null)];
        assert.equal(read(fork), "second");
        assert.equal(read(old), "first");
        write(fork, "third");
        rmSync(join(old, "file"));
        assert.equal(read(path), "second");
      } finally {
        await backend.remove(target, WORK);
        await backend.remove(pinned, WORK);
      }
    }),
  ];
}

const write = (path: string, text: string): void => writeFileSync(join(path, "file"), text);
const read = (path: string): string => readFileSync(join(path, "file"), "utf8");
