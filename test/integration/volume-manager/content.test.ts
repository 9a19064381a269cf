import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Volume } from "@banyan/contracts";
import { newId } from "@banyan/kernel";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type Ask, ask } from "./content-client.ts";
import { type Cluster, PATIENT, startCluster, VolumesWorld } from "./volumes-harness.ts";

let cluster: Cluster;
let world: VolumesWorld;
let volume: Volume;
let root: string;

beforeAll(async () => {
  cluster = await startCluster();
  world = await VolumesWorld.open(cluster, { disk: "plain" });
  await world.start();
}, PATIENT.timeoutMs);
afterAll(async () => {
  await world?.close();
  await cluster?.stop();
});
beforeEach(async () => {
  volume = await world.ready(await world.create());
  root = world.content(volume);
});

const call = (method: string, path: string, options: Ask = {}) => ask(world, method, volume.id, path, options);
const put = (path: string, body: string | Uint8Array<ArrayBuffer>) => call("PUT", "files/content", { query: { path }, body });
const get = (path: string, options: Ask = {}) => call("GET", "files/content", { ...options, query: { path, ...options.query } });

const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
const begin = async (body: Record<string, unknown>): Promise<string> => {
  const { status, body: upload } = await call("POST", "uploads", { json: body });
  expect(status).toBe(201);
  return String(upload.id);
};
const part = (id: string, offset: number, bytes: Buffer, digest = sha256(bytes)) =>
  call("PUT", `uploads/${id}`, { query: { offset, sha256: digest }, body: new Uint8Array(bytes) });

describe("the content of a volume without a sandbox", () => {
  it("is written, read whole and in ranges, looked at and listed", async () => {
    expect((await put("/a/b.txt", "0123456789")).body).toEqual({ path: "/a/b.txt", bytes_written: 10 });
    expect(readFileSync(join(root, "a/b.txt"), "utf8")).toBe("0123456789");
    expect((await get("/a/b.txt")).bytes.toString()).toBe("0123456789");
    const part = await get("/a/b.txt", { headers: { range: "bytes=2-4" } });
    expect([part.status, part.bytes.toString(), part.headers.get("content-range")]).toEqual([206, "234", "bytes 2-4/10"]);
    expect((await get("/a/b.txt", { headers: { range: "bytes=-3" } })).bytes.toString()).toBe("789");
    expect((await get("/a/b.txt", { headers: { range: "bytes=10-" } })).status).toBe(416);
    expect((await call("HEAD", "files/content", { query: { path: "/a/b.txt" } })).headers.get("content-length")).toBe("10");
    expect((await call("GET", "files/list", { query: { path: "/a" } })).body).toMatchObject({ total: 1, entries: [{ name: "b.txt" }] });
    expect((await get("/none")).body.code).toBe("file.not_found");
  });

  it("is that of a version where one is asked for, which takes no writes", async () => {
    await put("/f", "before");
    const version = await world.snapshot(volume.id, "v1");
    await world.versionReady(version);
    await put("/f", "after");
    expect((await get("/f", { query: { version: "v1" } })).bytes.toString()).toBe("before");
    expect((await get("/f")).bytes.toString()).toBe("after");
    expect((await call("PUT", "files/content", { query: { path: "/f", version: "v1" }, body: "x" })).body.code).toBe("request.invalid");
    expect((await get("/f", { query: { version: "none" } })).body.code).toBe("volume.version_not_found");
    await world.restore(volume.id, version.id);
    await world.ready(volume);
    expect((await get("/f")).bytes.toString()).toBe("before");
  });

  it("is nobody else's, and is served to the gateway alone", async () => {
    await put("/f", "mine");
    expect((await get("/f", { orgId: newId("org") })).body.code).toBe("volume.not_found");
    expect((await get("/f", { headers: { "x-banyan-cluster": "Bearer wrong" } })).body.code).toBe("auth.invalid");
    expect((await get("/f", { query: { user: "root" } })).body.code).toBe("request.invalid");
    expect((await call("DELETE", "files/content")).body.code).toBe("request.method_not_allowed");
    expect((await call("GET", "other")).body.code).toBe("request.not_found");
  });

  it("leads out of the volume by no symlink, and shows nothing of the host's own", async () => {
    const outside = mkdtempSync(join(world.directory, "outside-"));
    writeFileSync(join(outside, "secret"), "secret");
    symlinkSync(outside, join(root, "absolute"));
    symlinkSync("../../../..", join(root, "up"));
    mkdirSync(join(root, ".banyan"));
    writeFileSync(join(root, ".banyan/own"), "own");
    for (const path of ["/absolute/secret", `/up${outside}/secret`, `/../../..${outside}/secret`, "/.banyan/own", "/up/.banyan/own"])
      expect((await get(path)).body.code, path).toBe("file.not_found");
    expect((await put("/.banyan/new", "x")).body.code).toBe("file.permission_denied");
    await put("/absolute/new", "x");
    expect(readdirSync(outside)).toEqual(["secret"]);
    expect((await call("GET", "files/list", { query: { path: "/" } })).bytes.toString()).not.toContain(".banyan");
  });
});

describe("an upload in parts", () => {
  it("appears whole, with its mode and time, and not before it is complete", async () => {
    const whole = Buffer.from("first,second");
    const id = await begin({ path: "/d/e/f", size: 12, sha256: sha256(whole), mode: "0640", modified_at: "2020-01-02T03:04:05.000Z" });
    expect((await part(id, 0, whole.subarray(0, 6))).body).toMatchObject({ offset: 6, state: "open" });
    expect(existsSync(join(root, "d"))).toBe(false);
    expect((await call("GET", "files/list", { query: { path: "/" } })).body.total).toBe(0);
    expect((await call("POST", `uploads/${id}/complete`)).body).toMatchObject({ code: "upload.incomplete", details: { offset: 6 } });
    expect((await part(id, 0, whole.subarray(0, 6))).body).toMatchObject({ offset: 6 });
    expect((await part(id, 9, whole.subarray(9))).body).toMatchObject({ code: "upload.out_of_order", details: { offset: 6 } });
    expect((await part(id, 6, whole.subarray(6))).body).toMatchObject({ offset: 12 });
    expect((await call("POST", `uploads/${id}/complete`)).body).toMatchObject({ state: "complete", path: "/d/e/f" });
    expect(readFileSync(join(root, "d/e/f"))).toEqual(whole);
    expect(statSync(join(root, "d/e/f"))).toMatchObject({ mode: 0o100640, mtimeMs: Date.parse("2020-01-02T03:04:05Z") });
    expect((await call("POST", `uploads/${id}/complete`)).body).toMatchObject({ state: "complete" });
    expect(readdirSync(join(root, ".banyan/uploads"))).toEqual([]);
  });

  it("takes nothing whose checksum is wrong, of a part or of the whole", async () => {
    const bytes = Buffer.from("content");
    const id = await begin({ path: "/f", size: 7, sha256: sha256(Buffer.from("another")) });
    expect((await part(id, 0, bytes, sha256(Buffer.from("x")))).body.code).toBe("upload.checksum_mismatch");
    expect((await call("GET", `uploads/${id}`)).body).toMatchObject({ offset: 0 });
    await part(id, 0, bytes);
    expect((await call("POST", `uploads/${id}/complete`)).body).toMatchObject({ code: "upload.checksum_mismatch", details: { offset: 0 } });
    expect(existsSync(join(root, "f"))).toBe(false);
    await part(id, 0, Buffer.from("another"));
    expect((await call("POST", `uploads/${id}/complete`)).body.state).toBe("complete");
    expect(readFileSync(join(root, "f"), "utf8")).toBe("another");
  });

  it("is refused where its size or place cannot be, and beyond its own size", async () => {
    for (const body of [
      { path: "/f", size: -1 },
      { path: "/f" },
      { path: "/../f", size: 1 },
      { path: "/.banyan/f", size: 1 },
      { path: "/", size: 1 },
    ])
      expect((await call("POST", "uploads", { json: body })).body.code, JSON.stringify(body)).toBe("request.invalid");
    const id = await begin({ path: "/f", size: 3 });
    expect((await part(id, 2, Buffer.from("xy"))).body.code).toBe("request.invalid");
    expect((await part(id, -1, Buffer.from("x"))).body.code).toBe("request.invalid");
    symlinkSync(".banyan", join(root, "own"));
    const hidden = await begin({ path: "/own/f", size: 0 });
    expect((await call("POST", `uploads/${hidden}/complete`)).body.code).toBe("file.permission_denied");
  });

  it("is gone when it is given up, and was never there for others", async () => {
    const id = await begin({ path: "/f", size: 1 });
    expect((await call("GET", `uploads/${id}`, { orgId: newId("org") })).body.code).toBe("upload.not_found");
    expect((await call("DELETE", `uploads/${id}`)).status).toBe(204);
    expect(readdirSync(join(root, ".banyan/uploads"))).toEqual([]);
    for (const gone of [id, newId("upl"), "x"]) expect((await call("GET", `uploads/${gone}`)).body.code).toBe("upload.not_found");
  });
});
