import { createHash } from "node:crypto";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { zstdCompressSync } from "node:zlib";
import {
  contextBlob,
  DeleteImage,
  DeleteRegistry,
  GetImage,
  type Image,
  type LayerRef,
  ListImages,
  ListRegistries,
  layerBlob,
  NameImage,
  RegisterImage,
  ResolveImage,
  SaveRegistry,
  UnnameImage,
} from "@banyan/contracts";
import { newId } from "@banyan/kernel";
import { eventually } from "@banyan/testkit";
import { pack } from "tar-stream";
import { afterAll, beforeAll, expect, it } from "vitest";
import { BuilderHarness } from "./builder-harness.ts";

let harness: BuilderHarness;
beforeAll(async () => {
  harness = await BuilderHarness.open();
  await harness.start({ housekeeping: { everyMs: 200, layerAgeMs: 1_000, contextAgeMs: 3_600_000, unusedContextAgeMs: 3_600_000 } });
});
afterAll(async () => {
  await harness?.close();
});

const CONFIG = { env: { A: "1" }, workdir: "/work", user: "agent", entrypoint: [], ready: null, resources: {} };
let made = 0;
/** A layer in the store, of content that no other has. */
async function putLayer(): Promise<LayerRef> {
  const digest = `sha256:${(++made).toString(16).padStart(64, "0")}`;
  await harness.bus.blobs.put(layerBlob(digest), Readable.from([zstdCompressSync(Buffer.from(digest))]));
  return { digest, sizeBytes: 71 };
}

/** A tar with one file, uploaded as the gateway would. */
async function putContext(content: string): Promise<string> {
  const tar = pack();
  tar.entry({ name: "file" }, content);
  tar.finalize();
  const bytes = await buffer(tar);
  const digest = `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
  await harness.bus.blobs.put(contextBlob(harness.orgId, digest), Readable.from([bytes]));
  return digest;
}

async function snapshot(changes: { orgId?: string; imageId?: string; name?: string | null; layers?: LayerRef[] } = {}): Promise<Image> {
  const input = {
    orgId: harness.orgId,
    imageId: newId("img"),
    name: null,
    layers: [await putLayer()],
    config: CONFIG,
    sandboxId: newId("sbx"),
  };
  const { image } = await harness.bus.call(RegisterImage, { ...input, ...changes });
  return image;
}
const resolve = (name: string) => harness.bus.call(ResolveImage, { orgId: harness.orgId, name });
const remove = (imageId: string) => harness.bus.call(DeleteImage, { orgId: harness.orgId, imageId });

it("makes an image of a snapshot's layers, once however often it is said", async () => {
  const layers = [await putLayer()];
  const imageId = newId("img");
  const first = await snapshot({ imageId, layers, name: "snap" });
  expect(first).toMatchObject({ id: imageId, kind: "snapshot", state: "ready", layers, config: CONFIG, names: ["snap:latest"] });
  expect(await snapshot({ imageId, layers, name: "snap" })).toEqual(first);
  expect((await resolve("snap")).image.id).toBe(imageId);
  await expect(snapshot({ imageId, layers, orgId: newId("org") })).rejects.toMatchObject({ code: "request.invalid" });
});

it("makes no image of layers that are not in the store", async () => {
  const layers = [await putLayer(), { digest: `sha256:${"f".repeat(64)}`, sizeBytes: 1 }];
  await expect(snapshot({ layers })).rejects.toMatchObject({ code: "layer.unavailable" });
});

it("moves a name from one image to another, and takes it away", async () => {
  const [one, other] = [await snapshot({ name: "app" }), await snapshot()];
  expect((await resolve("app")).image.id).toBe(one.id);
  const named = await harness.bus.call(NameImage, { orgId: harness.orgId, imageId: other.id, name: "app" });
  expect(named.image.names).toEqual(["app:latest"]);
  await harness.bus.call(NameImage, { orgId: harness.orgId, imageId: other.id, name: "team/app:1.2" });
  expect((await resolve("app:latest")).image).toMatchObject({ id: other.id, names: ["app:latest", "team/app:1.2"] });
  await harness.bus.call(UnnameImage, { orgId: harness.orgId, name: "app" });
  await expect(resolve("app")).rejects.toMatchObject({ code: "image.not_found" });
  await expect(harness.bus.call(UnnameImage, { orgId: harness.orgId, name: "app" })).rejects.toMatchObject({ code: "image.not_found" });
  await expect(harness.bus.call(NameImage, { orgId: harness.orgId, imageId: other.id, name: "Not A Name" })).rejects.toMatchObject({
    code: "request.invalid",
  });
});

it("lets an organisation call an image of its own by a public name, for itself alone", async () => {
  const own = await snapshot({ name: "default" });
  expect((await resolve("default")).image.id).toBe(own.id);
  const { image } = await harness.bus.call(ResolveImage, { orgId: newId("org"), name: "default" });
  expect(image).toMatchObject({ orgId: null, names: ["default:latest"] });
  // A name for a public image is its giver's own too.
  await harness.bus.call(NameImage, { orgId: harness.orgId, imageId: image.id, name: "ours" });
  expect((await resolve("ours")).image.id).toBe(image.id);
  const asStranger = await harness.bus.call(GetImage, { orgId: newId("org"), name: image.id });
  expect(asStranger.image.names).toEqual(["default:latest"]);
  await harness.bus.call(UnnameImage, { orgId: harness.orgId, name: "default" });
});

it("lists page by page, the newest first", async () => {
  const orgId = newId("org");
  const ids: string[] = [];
  for (let i = 0; i < 3; i++) ids.unshift((await snapshot({ orgId })).id);
  const first = await harness.bus.call(ListImages, { orgId, cursor: null, limit: 2 });
  expect(first.images.map(({ id }) => id)).toEqual(ids.slice(0, 2));
  const second = await harness.bus.call(ListImages, { orgId, cursor: first.nextCursor, limit: 2 });
  expect(second.images.map(({ id }) => id)[0]).toBe(ids[2]);
  expect(second.nextCursor).toBeNull();
});

it("deletes no image that a sandbox or another image uses, and says who does", async () => {
  const below = await snapshot();
  harness.inUse.imageIds.add(below.id);
  await expect(remove(below.id)).rejects.toMatchObject({ code: "image.in_use", details: { usedBy: [expect.stringMatching(/^sbx_/)] } });
  harness.inUse.imageIds.clear();
  const above = await harness.build({ base: "default", commands: [`echo ${newId("req")}`] }, { name: "upper" });
  const onTop = await harness.build({ base: "upper", commands: ["true"] });
  await expect(remove(above.image.id)).rejects.toMatchObject({ code: "image.in_use", details: { usedBy: [onTop.image.id] } });
  await remove(onTop.image.id);
  await remove(above.image.id);
  await remove(below.id);
  await expect(remove(below.id)).rejects.toMatchObject({ code: "image.not_found" });
  const { image } = await resolve("default");
  await expect(remove(image.id)).rejects.toMatchObject({ code: "image.protected" });
});

it("deletes no image that is being built", async () => {
  const { image, build } = await harness.request({ commands: [`echo begun; sleep 60; echo ${newId("req")}`] });
  await expect(remove(image.id)).rejects.toMatchObject({ code: "image.in_use", details: { usedBy: [build.id] } });
  await harness.cancel(build);
  await harness.ended(build);
  await remove(image.id);
});

it("sweeps the layers that nothing uses, by age, and no other", async () => {
  const [lonely, held, inSandbox] = [await snapshot(), await snapshot(), await snapshot()];
  const digestOf = (image: Image) => image.layers[0]?.digest ?? "";
  const isStored = (image: Image) => harness.bus.blobs.has(layerBlob(digestOf(image)));
  harness.inUse.digests.add(digestOf(inSandbox));
  await remove(inSandbox.id);
  await remove(lonely.id);
  await eventually(async () => !(await isStored(lonely)), { timeoutMs: 20_000 });
  expect([await isStored(held), await isStored(inSandbox)]).toEqual([true, true]);
});

it("forgets an upload that no build has used for long, and no other", async () => {
  const [old, recent] = [await putContext("old"), await putContext("recent")];
  for (const context of [old, recent]) await harness.build({ steps: [{ copy: { context, to: "/in" } }] });
  await harness.sql`update contexts set used_at = now() - interval '1 day' where digest = ${old}`;
  const isStored = (digest: string) => harness.bus.blobs.has(contextBlob(harness.orgId, digest));
  await eventually(async () => !(await isStored(old)));
  expect(await isStored(recent)).toBe(true);
  // What was built from it stays what it is; to build something else from it takes the upload again.
  const other = harness.request({ steps: [{ copy: { context: old, to: "/elsewhere" } }] });
  await expect(other).rejects.toMatchObject({ code: "context.not_found" });
});

it("notes when an image was last used", async () => {
  const image = await snapshot();
  await harness.sql`update images set last_used_at = now() - interval '1 day' where id = ${image.id}`;
  await resolve(image.id);
  await eventually(async () => {
    const got = await harness.bus.call(GetImage, { orgId: harness.orgId, name: image.id });
    return Date.now() - got.image.lastUsedAt < 60_000;
  });
});

it("keeps a registry's password sealed, and never shows it", async () => {
  const password = `hunter-${newId("req")}`;
  const saved = await harness.bus.call(SaveRegistry, { orgId: harness.orgId, host: "registry.example:5000", username: "agent", password });
  const listed = await harness.bus.call(ListRegistries, { orgId: harness.orgId });
  expect(listed.registries).toEqual([{ host: "registry.example:5000", username: "agent", createdAt: expect.any(Number) }]);
  const rows = await harness.sql`select r::text as row from registries r`;
  expect(JSON.stringify([saved, listed, rows])).not.toContain(password);
  expect(JSON.stringify(rows)).toContain("agent");
  expect((await harness.bus.call(ListRegistries, { orgId: newId("org") })).registries).toEqual([]);
  await harness.bus.call(DeleteRegistry, { orgId: harness.orgId, host: "registry.example:5000" });
  await expect(harness.bus.call(DeleteRegistry, { orgId: harness.orgId, host: "registry.example:5000" })).rejects.toMatchObject({
    code: "registry.not_found",
  });
});
