import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { appendFileSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { createZstdCompress } from "node:zlib";
import { layerBlob } from "@banyan/contracts";
import { newId, silentLogger } from "@banyan/kernel";
import { Journal, type JournalEntry, Tombstones } from "@banyan/runner-agent";
import { LayerStore } from "@banyan/runtime";
import { type Pack, pack } from "tar-stream";
import { afterEach, beforeEach, expect, it } from "vitest";

let directory: string;
beforeEach(() => {
  directory = mkdtempSync("/var/tmp/bny-files-");
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

function entry(changes: Partial<JournalEntry> = {}): JournalEntry {
  return {
    format: 1,
    sandboxId: newId("sbx"),
    orgId: newId("org"),
    epoch: 1,
    state: "stopped",
    slot: null,
    env: { SECRET: "value" },
    workdir: "/",
    user: "root",
    resources: { cpu: 1, memoryMb: 64, pids: 10, diskMb: 100 },
    network: { egress: "open", allow: [] },
    layers: [],
    mounts: [],
    fork: null,
    ...changes,
  };
}

it("remembers what was written last, readable by root alone", () => {
  const journal = new Journal(directory);
  const [kept, removed] = [entry(), entry()];
  journal.write(kept);
  journal.write({ ...kept, epoch: 2 });
  journal.write(removed);
  journal.remove(removed.sandboxId);
  journal.remove(removed.sandboxId);
  expect(new Journal(directory).read(silentLogger)).toEqual([{ ...kept, epoch: 2 }]);
  expect(statSync(join(directory, `${kept.sandboxId}.json`)).mode & 0o777).toBe(0o600);
});

it("sets aside what it cannot read, and forgets drafts", () => {
  const journal = new Journal(directory);
  const good = entry();
  journal.write(good);
  writeFileSync(join(directory, `${newId("sbx")}.json`), '{"format":1,');
  writeFileSync(join(directory, `${newId("sbx")}.json.new`), "half");
  expect(journal.read(silentLogger)).toEqual([good]);
  expect(
    readdirSync(directory)
      .map((name) => name.split(".").slice(1).join("."))
      .toSorted(),
  ).toEqual(["json", "json.broken"]);
});

it("remembers deleted sandboxes over a restart, and past a line that was cut", () => {
  const file = join(directory, "tombstones");
  const tombstones = new Tombstones(file);
  tombstones.add("sbx_a", 3);
  tombstones.add("sbx_a", 2);
  tombstones.add("sbx_b", 1);
  appendFileSync(file, "sbx_c 1");
  const next = new Tombstones(file);
  expect([next.epochOf("sbx_a"), next.epochOf("sbx_b"), next.epochOf("sbx_c")]).toEqual([3, 1, undefined]);
});

async function blobOf(fill: (archive: Pack) => void): Promise<{ digest: string; blob: Buffer }> {
  const archive = pack();
  fill(archive);
  archive.finalize();
  const tar = await buffer(archive);
  return {
    digest: `sha256:${createHash("sha256").update(tar).digest("hex")}`,
    blob: await buffer(Readable.from([tar]).pipe(createZstdCompress())),
  };
}

it("fetches a layer once, however many ask for it at once", async () => {
  const { digest, blob } = await blobOf((archive) => archive.entry({ name: "etc/file", mode: 0o640, uid: 1234, gid: 99 }, "content"));
  let fetches = 0;
  const store = new LayerStore(directory, {
    get: async (name) => {
      fetches++;
      return name === layerBlob(digest) ? Readable.from([blob]) : null;
    },
  });
  await Promise.all(Array.from({ length: 20 }, () => store.ensure([{ digest, sizeBytes: blob.length }])));
  expect(fetches).toBe(1);
  const { mode, uid, gid } = statSync(join(store.path(digest), "etc/file"));
  expect([mode & 0o777, uid, gid]).toEqual([0o640, 1234, 99]);
  expect(new LayerStore(directory, { get: async () => null }).has(digest)).toBe(true);
});

it("shows no layer whose bytes are wrong, cut or missing", async () => {
  const { digest, blob } = await blobOf((archive) => archive.entry({ name: "file" }, "x".repeat(100_000)));
  const other = `sha256:${"0".repeat(64)}`;
  for (const [asked, bytes] of [
    [other, blob],
    [digest, blob.subarray(0, blob.length / 2)],
    [digest, Buffer.from("no zstd")],
    [digest, null],
  ] as const) {
    const store = new LayerStore(directory, { get: async () => (bytes === null ? null : Readable.from([bytes])) });
    await expect(store.ensure([{ digest: asked, sizeBytes: 1 }])).rejects.toMatchObject({ code: "layer.unavailable" });
    expect(store.has(asked)).toBe(false);
  }
  expect(readdirSync(directory)).toEqual([]);
});

it("turns the whiteouts of OCI layers into those of overlayfs", async () => {
  const { digest, blob } = await blobOf((archive) => {
    archive.entry({ name: "gone/.wh.file" }, "");
    archive.entry({ name: "replaced/", type: "directory", mode: 0o711 });
    archive.entry({ name: "replaced/.wh..wh..opq" }, "");
    archive.entry({ name: "replaced/new" }, "new");
  });
  const store = new LayerStore(directory, { get: async () => Readable.from([blob]) });
  await store.ensure([{ digest, sizeBytes: blob.length }]);
  const layer = store.path(digest);
  const whiteout = statSync(join(layer, "gone/file"));
  expect([whiteout.isCharacterDevice(), whiteout.rdev]).toEqual([true, 0]);
  expect(statSync(join(layer, "replaced")).mode & 0o777).toBe(0o711);
  expect(readdirSync(join(layer, "replaced"))).toEqual(["new"]);
  const [base, upper, work, merged] = ["base", "upper", "work", "merged"].map((name) => join(directory, name));
  execFileSync("sh", [
    "-ec",
    `mkdir -p ${base}/gone ${base}/replaced ${upper} ${work} ${merged}; touch ${base}/gone/file ${base}/gone/stays ${base}/replaced/old`,
  ]);
  execFileSync("mount", ["-t", "overlay", "overlay", "-o", `lowerdir=${layer}:${base},upperdir=${upper},workdir=${work}`, String(merged)]);
  try {
    expect([readdirSync(`${merged}/gone`), readdirSync(`${merged}/replaced`)]).toEqual([["stays"], ["new"]]);
  } finally {
    execFileSync("umount", [String(merged)]);
  }
});
