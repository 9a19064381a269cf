import { createHash } from "node:crypto";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { zstdCompressSync } from "node:zlib";
import { contextBlob, LAYER_BLOBS, type LayerRef, layerBlob, RegisterImage } from "@banyan/contracts";
import { newId } from "@banyan/kernel";
import { eventually } from "@banyan/testkit";
import { pack } from "tar-stream";
import { afterAll, beforeAll, expect, it } from "vitest";
import { BuilderHarness } from "./builder-harness.ts";

/** Long enough to put and register something, short enough to wait for. */
const AGE_MS = 3_000;

let harness: BuilderHarness;
beforeAll(async () => {
  harness = await BuilderHarness.open();
  await harness.start({ housekeeping: { everyMs: 200, layerAgeMs: AGE_MS, contextAgeMs: 3_600_000, unusedContextAgeMs: AGE_MS } });
});
afterAll(async () => {
  await harness?.close();
});

const CONFIG = { env: {}, workdir: "/", user: "root", entrypoint: [], ready: null, resources: {} };
const digestOf = (bytes: Buffer) => `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
const has = (name: string) => harness.bus.blobs.has(name);

async function putLayer(): Promise<LayerRef> {
  const content = Buffer.from(newId("req"));
  const digest = digestOf(content);
  await harness.bus.blobs.put(layerBlob(digest), Readable.from([zstdCompressSync(content)]));
  return { digest, sizeBytes: content.length };
}

async function upload(): Promise<string> {
  const tar = pack();
  tar.entry({ name: "file" }, newId("req"));
  tar.finalize();
  const bytes = await buffer(tar);
  const digest = digestOf(bytes);
  await harness.bus.blobs.put(contextBlob(harness.orgId, digest), Readable.from([bytes]));
  return digest;
}

it("counts the age of a layer from the end of its put, however long that takes", async () => {
  const [blob] = (await Readable.from(harness.bus.blobs.list(LAYER_BLOBS)).toArray()) as { name: string; putAt: number }[];
  const [row] = await harness.sql<{ put_at: Date }[]>`select put_at from layers where ${LAYER_BLOBS} || digest = ${blob?.name ?? ""}`;
  expect(row?.put_at.getTime()).toBeGreaterThanOrEqual(blob?.putAt ?? Number.NaN);
});

it("removes a layer that nobody registered once it is old, and none that an image or a sandbox has", async () => {
  const [registered, inSandbox] = [await putLayer(), await putLayer()];
  harness.inUse.digests.add(inSandbox.digest);
  const sandbox = { orgId: harness.orgId, name: null, config: CONFIG, sandboxId: newId("sbx") };
  await harness.bus.call(RegisterImage, { ...sandbox, imageId: newId("img"), layers: [registered] });
  const lonely = await putLayer();
  expect(await has(layerBlob(lonely.digest))).toBe(true);
  await eventually(async () => !(await has(layerBlob(lonely.digest))), { timeoutMs: 20_000 });
  expect(await Promise.all([registered, inSandbox].map(({ digest }) => has(layerBlob(digest))))).toEqual([true, true]);
});

it("removes an upload that no build used, and none that one has used or is using", async () => {
  const [used, using] = [await upload(), await upload()];
  const steps = (context: string, run: string) => [{ copy: { context, to: "/in" } }, { run }];
  const running = await harness.request({ steps: steps(using, `sleep 60; : ${newId("req")}`) });
  await harness.build({ steps: steps(used, ":") });
  const unused = await upload();
  await eventually(async () => !(await has(contextBlob(harness.orgId, unused))), { timeoutMs: 20_000 });
  expect(await Promise.all([used, using].map((digest) => has(contextBlob(harness.orgId, digest))))).toEqual([true, true]);
  await harness.cancel(running.build);
  await harness.ended(running.build);
});

it("leaves the layers of a build under way alone, and what is not a layer", async () => {
  await harness.bus.blobs.put("layers/notes", Readable.from([Buffer.from("x")]));
  const below = await harness.build({ commands: [`echo ${newId("req")} > /below`] }, { name: "below" });
  const above = await harness.build({ base: "below", commands: [`sleep ${(2 * AGE_MS) / 1_000}; echo ${newId("req")} > /above`] });
  expect(above.build).toMatchObject({ state: "ready", failure: null });
  expect(above.image.layers.slice(0, -1)).toEqual(below.image.layers);
  for (const { digest } of above.image.layers) expect(await has(layerBlob(digest))).toBe(true);
  expect(await has("layers/notes")).toBe(true);
});
