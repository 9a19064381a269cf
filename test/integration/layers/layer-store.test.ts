import { execFileSync, fork } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { zstdCompressSync } from "node:zlib";
import type { LayerRef } from "@banyan/contracts";
import { LayerStore } from "@banyan/runtime";
import { eventually, fakeClock } from "@banyan/testkit";
import { afterEach, beforeEach, expect, it } from "vitest";

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "banyan-store-"));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const none = { get: async () => null };

function layer(content: Buffer | string): { ref: LayerRef; blob: Buffer } {
  mkdirSync(join(directory, "tree"), { recursive: true });
  writeFileSync(join(directory, "tree", "file"), content);
  const tar = execFileSync("tar", ["--create", "--directory", join(directory, "tree"), "."], { maxBuffer: 2 ** 30 });
  const blob = zstdCompressSync(tar);
  return { ref: { digest: `sha256:${createHash("sha256").update(tar).digest("hex")}`, sizeBytes: blob.length }, blob };
}

const storeAt = (name: string, options = {}) => new LayerStore(join(directory, name), none, options);

it("makes a layer of a blob that is at hand, checked like any other", async () => {
  const { ref, blob } = layer("content");
  const store = storeAt("layers");
  await expect(store.adopt(`sha256:${"0".repeat(64)}`, () => Readable.from([blob]))).rejects.toMatchObject({ code: "layer.unavailable" });
  await store.adopt(ref.digest, () => Readable.from([blob]));
  expect(readdirSync(store.path(ref.digest))).toEqual(["file"]);
  expect(store.count).toBe(1);
});

it("does not remove what is held, and fetches again what was removed", async () => {
  const { ref, blob } = layer("content");
  const store = new LayerStore(join(directory, "layers"), { get: async () => Readable.from([blob]) });
  const releases = [store.hold([ref]), store.hold([ref])];
  await store.ensure([ref]);
  for (const release of releases) {
    expect(await store.remove(ref.digest)).toBe(false);
    release();
    release();
  }
  expect(await store.remove(ref.digest)).toBe(true);
  expect(await store.remove(ref.digest)).toBe(false);
  expect(existsSync(store.path(ref.digest))).toBe(false);
  await store.ensure([ref]);
  expect(existsSync(join(store.path(ref.digest), "file"))).toBe(true);
});

it("is out of everybody's way before its files are gone", async () => {
  const { ref, blob } = layer("content");
  const asked = Promise.withResolvers<void>();
  const store = new LayerStore(join(directory, "layers"), { get: async () => Readable.from([blob]) }, { removeTree: () => asked.promise });
  await store.ensure([ref]);
  const removing = store.remove(ref.digest);
  expect(store.has(ref.digest)).toBe(false);
  await store.ensure([ref]);
  expect(store.has(ref.digest)).toBe(true);
  asked.resolve();
  expect(await removing).toBe(true);
  // What was not removed in time is removed by the next process.
  const next = storeAt("layers");
  await next.removeDrafts();
  expect(readdirSync(join(directory, "layers"))).toEqual([ref.digest.slice("sha256:".length)]);
});

it("remembers over a restart when layers were used", async () => {
  const clock = fakeClock();
  const [old, young] = [layer("old"), layer("young")];
  const store = storeAt("layers", { clock });
  await store.adopt(old.ref.digest, () => Readable.from([old.blob]));
  await store.adopt(young.ref.digest, () => Readable.from([young.blob]));
  const usedAt = clock.now();
  await clock.advance(1_000);
  store.hold([young.ref])();
  await store.noteUses();
  await clock.advance(1_000);
  const again = storeAt("layers", { clock });
  expect(again.unheld()).toEqual([
    { digest: old.ref.digest, lastUsedAt: usedAt },
    { digest: young.ref.digest, lastUsedAt: usedAt + 1_000 },
  ]);
  writeFileSync(join(directory, "layers", ".uses.json"), "{ not json");
  expect(
    storeAt("layers", { clock })
      .unheld()
      .map(({ lastUsedAt }) => lastUsedAt),
  ).toEqual([clock.now(), clock.now()]);
});

it("shows nothing of a layer whose process was killed in the middle of unpacking it", async () => {
  const { ref, blob } = layer(Buffer.alloc(8 * 1024 * 1024, "x"));
  writeFileSync(join(directory, "blob"), blob);
  const script = join(directory, "unpack.ts");
  const runtime = new URL("../../../packages/runtime/src/index.ts", import.meta.url).href;
  // Half of the blob comes, then nothing more.
  writeFileSync(
    script,
    `import { readFileSync } from "node:fs";
     import { PassThrough } from "node:stream";
     import { LayerStore } from ${JSON.stringify(runtime)};
     const blob = readFileSync(${JSON.stringify(join(directory, "blob"))});
     const store = new LayerStore(${JSON.stringify(join(directory, "layers"))}, none());
     function none() { return { get: async () => null }; }
     void store.adopt(${JSON.stringify(ref.digest)}, () => { const half = new PassThrough(); half.write(blob.subarray(0, blob.length / 2)); return half; });
     setInterval(() => {}, 1_000);`,
  );
  const child = fork(script, { execPath: process.execPath });
  const ended = new Promise((resolve) => child.once("exit", resolve));
  const drafts = () => (existsSync(join(directory, "layers")) ? readdirSync(join(directory, "layers")) : []);
  await eventually(() => expect(drafts().flatMap((name) => readdirSync(join(directory, "layers", name)))).toContain("file"));
  child.kill("SIGKILL");
  await ended;
  const store = new LayerStore(join(directory, "layers"), { get: async () => Readable.from([blob]) });
  expect(store.has(ref.digest)).toBe(false);
  await store.removeDrafts();
  expect(drafts()).toEqual([]);
  await store.ensure([ref]);
  expect(store.has(ref.digest)).toBe(true);
});

it("keeps nothing half of a layer that its disk has no room for, and has it when there is room", async () => {
  const { ref, blob } = layer(randomBytes(16 * 2 ** 20));
  const place = join(directory, "layers");
  mkdirSync(place);
  execFileSync("mount", ["-t", "tmpfs", "-o", "size=4m", "tmpfs", place]);
  try {
    const store = new LayerStore(place, { get: async () => Readable.from([blob]) });
    await expect(store.ensure([ref])).rejects.toMatchObject({ code: "layer.unavailable" });
    expect([store.has(ref.digest), readdirSync(place)]).toEqual([false, []]);
    execFileSync("mount", ["-o", "remount,size=64m", place]);
    await store.ensure([ref]);
    expect(statSync(join(store.path(ref.digest), "file")).size).toBe(16 * 2 ** 20);
  } finally {
    execFileSync("umount", [place]);
  }
});
