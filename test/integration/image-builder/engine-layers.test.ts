import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { LIMITS, layerBlob } from "@banyan/contracts";
import { stepName } from "@banyan/image-builder";
import { afterAll, beforeAll, expect, it } from "vitest";
import { BuildHarness } from "./build-harness.ts";

let harness: BuildHarness;
beforeAll(async () => {
  harness = await BuildHarness.open();
});
afterAll(async () => {
  await harness?.close();
});

const SPEC = {
  steps: [{ run: "mkdir /d; echo old > /d/old; echo gone > /gone" }, { run: "rm /gone; rm -r /d; mkdir /d; echo new > /d/new" }],
};

it("takes an image apart by the engine's own archive where its directories cannot be read", async () => {
  const far = harness.openEngine("far");
  Object.assign(await far.facts(), { readsOverlay: false });
  const { result } = await harness.build(SPEC, { engine: far });
  const own = result.layers.slice(1);
  expect(own).toHaveLength(2);
  const root = await harness.mount(result.layers);
  expect([existsSync(join(root, "gone")), existsSync(join(root, "d/old")), readFileSync(join(root, "d/new"), "utf8")]).toEqual([
    false,
    false,
    "new\n",
  ]);
  const { RootFS } = await harness.docker.getImage(stepName(harness.plan(SPEC).steps[1]?.key ?? "")).inspect();
  expect(result.layers.map(({ digest }) => digest)).toEqual(RootFS.Layers);
});

it("puts a layer back that the store has lost, under the same digest", async () => {
  const first = await harness.build(SPEC);
  const top = first.result.layers.at(-1)?.digest ?? "";
  await harness.bus.blobs.delete(layerBlob(top));
  const second = await harness.build(SPEC);
  expect(second.result.layers).toEqual(first.result.layers);
  expect(await harness.bus.blobs.has(layerBlob(top))).toBe(true);
});

it("makes of an uploaded root filesystem a base, without its devices", async () => {
  const rootfs = await harness.upload([
    [{ name: "bin/", type: "directory" }],
    [{ name: "bin/tool", mode: 0o755 }, "#!/bin/sh"],
    [{ name: "bin/link", type: "symlink", linkname: "/bin/tool" }],
    [{ name: "dev/sda", type: "block-device", devmajor: 8, devminor: 0 }],
  ]);
  const base = { reference: "rootfs", pinnedTo: rootfs, config: null, source: { kind: "rootfs" as const, digest: rootfs } };
  const { result } = await harness.build({ files: [{ path: "/hello", content: "hello" }] }, { base });
  expect(result.layers).toHaveLength(2);
  expect(result.config).toMatchObject({ workdir: "/", user: "root", entrypoint: [] });
  const root = await harness.mount(result.layers);
  expect(readFileSync(join(root, "hello"), "utf8")).toBe("hello");
  expect([existsSync(join(root, "bin/tool")), existsSync(join(root, "dev/sda"))]).toEqual([true, false]);
});

it("makes one layer of more than an image may have", async () => {
  const files = Array.from({ length: LIMITS.layersPerImage - 1 }, (_, index) => ({ file: { path: `/f${index}`, content: String(index) } }));
  const below = await harness.build({ steps: files.slice(0, 50) });
  const base = {
    reference: "deep",
    pinnedTo: "deep",
    config: below.result.config,
    source: { kind: "layers" as const, layers: below.result.layers },
  };
  const { result } = await harness.build({ steps: [...files.slice(50), { run: "cat /f0 /f60 > /sum" }, { run: "rm /f0" }] }, { base });
  expect(result.layers.length).toBeLessThanOrEqual(LIMITS.layersPerImage);
  const root = await harness.mount(result.layers);
  expect(readFileSync(join(root, "sum"), "utf8")).toBe("060");
  expect([existsSync(join(root, "f0")), existsSync(join(root, "f98"))]).toEqual([false, true]);
}, 240_000);

it("keeps engine images that were used a moment ago", async () => {
  const spec = { commands: ["echo pruned > /pruned"] };
  await harness.build(spec);
  const [step] = harness.plan(spec).steps;
  const key = step?.key ?? "";
  expect(await harness.engine.cachedKeys([key])).toEqual(new Set([key]));
  await harness.engine.pruneImages({ ageMsMax: 60_000, countMax: 10_000, now: Date.now() });
  expect(await harness.engine.cachedKeys([key])).toEqual(new Set([key]));
});
