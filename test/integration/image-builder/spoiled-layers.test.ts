import { Readable } from "node:stream";
import { zstdCompressSync } from "node:zlib";
import { CheckLayer, type Image, layerBlob, ResolveImage } from "@banyan/contracts";
import { newId } from "@banyan/kernel";
import { eventually } from "@banyan/testkit";
import { afterAll, beforeAll, expect, it } from "vitest";
import { BuilderHarness } from "./builder-harness.ts";

let harness: BuilderHarness;
beforeAll(async () => {
  harness = await BuilderHarness.open();
  await harness.start();
});
afterAll(async () => {
  await harness?.close();
});

const topOf = ({ layers }: Image): string => layers.at(-1)?.digest ?? "";
const check = (digest: string) => harness.bus.publishJob(CheckLayer, { digest });
const resolve = (name: string) => harness.bus.call(ResolveImage, { orgId: harness.orgId, name });
const newSpec = () => ({ commands: [`echo ${newId("req")} > /made`] });

async function isSpoiled(image: Image): Promise<boolean> {
  const answer = await resolve(image.id).catch((thrown) => thrown);
  return answer.code === "image.build_failed";
}

const losses: Record<string, (digest: string) => Promise<unknown>> = {
  "has vanished": (digest) => harness.bus.blobs.delete(layerBlob(digest)),
  "holds something else": (digest) => harness.bus.blobs.put(layerBlob(digest), Readable.from([zstdCompressSync(Buffer.from("else"))])),
  "is no archive at all": (digest) => harness.bus.blobs.put(layerBlob(digest), Readable.from([Buffer.from("garbage")])),
};

it.each(Object.entries(losses))("builds again what stands on a layer whose blob %s", async (_, lose) => {
  const spec = newSpec();
  const name = `app-${newId("req").replaceAll("_", "-")}`;
  const { image } = await harness.build(spec, { name });
  await lose(topOf(image));
  await check(topOf(image));
  await eventually(() => isSpoiled(image));
  const again = await harness.request(spec);
  expect(again).toMatchObject({ build: { cached: false }, image: { id: image.id } });
  expect((await harness.ended(again.build)).build).toMatchObject({ state: "ready", failure: null });
  const { image: mended } = await resolve(name);
  expect(mended.layers).toEqual(image.layers);
  // Checked once more, it is whole: the image stays as it is.
  const other = (await harness.build(newSpec())).image;
  await check(topOf(mended));
  await harness.bus.blobs.delete(layerBlob(topOf(other)));
  await check(topOf(other));
  await eventually(() => isSpoiled(other));
  expect((await harness.request(spec)).build.cached).toBe(true);
});

it("puts a lost layer of the default image again, and leaves what stands on it as it is", async () => {
  const { image } = await harness.build(newSpec());
  const bottom = image.layers[0]?.digest ?? "";
  await harness.bus.blobs.put(layerBlob(bottom), Readable.from([Buffer.from("garbage")]));
  await check(bottom);
  await eventually(
    async () => {
      const blob = await harness.bus.blobs.get(layerBlob(bottom));
      const chunk = await blob?.iterator({ destroyOnReturn: true }).next();
      return blob !== null && String(chunk?.value) !== "garbage";
    },
    { timeoutMs: 30_000 },
  );
  expect((await resolve(image.id)).image.state).toBe("ready");
});
