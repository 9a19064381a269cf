import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import type { Volume } from "@banyan/contracts";
import { newId } from "@banyan/kernel";
import { UNFINISHED_DIRECTORY as OWN } from "@banyan/runtime";
import { eventually } from "@banyan/testkit";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type Ask, ask, sha256, tarWith } from "./content-client.ts";
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

/** What a user of the volume has in it. */
const held = (): string[] => readdirSync(root).filter((name) => name !== OWN);
/** Trees that are not whole. */
const staged = (): string[] => readdirSync(join(root, OWN, "trees"));
const call = (method: string, path: string, options: Ask = {}) => ask(world, method, volume.id, path, options);
const put = (path: string, body: string | Uint8Array<ArrayBuffer>) => call("PUT", "files/content", { query: { path }, body });
const get = (path: string, options: Ask = {}) => call("GET", "files/content", { ...options, query: { path, ...options.query } });

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
    mkdirSync(join(root, OWN), { recursive: true });
    writeFileSync(join(root, OWN, "own"), "own");
    for (const path of ["/absolute/secret", `/up${outside}/secret`, `/../../..${outside}/secret`, `/${OWN}/own`, `/up/${OWN}/own`])
      expect((await get(path)).body.code, path).toBe("file.not_found");
    expect((await put(`/${OWN}/new`, "x")).body.code).toBe("file.permission_denied");
    await put("/absolute/new", "x");
    expect(readdirSync(outside)).toEqual(["secret"]);
    expect((await call("GET", "files/list", { query: { path: "/" } })).bytes.toString()).not.toContain(OWN);
  });

  it("may hold a directory of the name that is the host's own in a sandbox, which versions keep", async () => {
    await put("/.banyan/proc/x", "copied from a sandbox");
    const entry = { path: "/.banyan/tarred", size: 0 };
    const id = await begin(entry);
    expect((await call("POST", `uploads/${id}/complete`)).body).toMatchObject({ state: "complete" });
    expect((await call("GET", "files/list", { query: { path: "/.banyan" } })).body).toMatchObject({ total: 2 });
    await world.versionReady(await world.snapshot(volume.id, "v1"));
    await call("POST", "files/remove", { json: { path: "/.banyan", recursive: true } });
    expect((await get("/.banyan/proc/x")).body.code).toBe("file.not_found");
    expect((await get("/.banyan/proc/x", { query: { version: "v1" } })).bytes.toString()).toBe("copied from a sandbox");
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
    expect(readdirSync(join(root, OWN, "uploads"))).toEqual([]);
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
      { path: `/${OWN}/f`, size: 1 },
      { path: "/", size: 1 },
    ])
      expect((await call("POST", "uploads", { json: body })).body.code, JSON.stringify(body)).toBe("request.invalid");
    const id = await begin({ path: "/f", size: 3 });
    expect((await part(id, 2, Buffer.from("xy"))).body.code).toBe("request.invalid");
    expect((await part(id, -1, Buffer.from("x"))).body.code).toBe("request.invalid");
    symlinkSync(OWN, join(root, "own"));
    const hidden = await begin({ path: "/own/f", size: 0 });
    expect((await call("POST", `uploads/${hidden}/complete`)).body.code).toBe("file.permission_denied");
  });

  it("is gone when it is given up, and was never there for others", async () => {
    const id = await begin({ path: "/f", size: 1 });
    expect((await call("GET", `uploads/${id}`, { orgId: newId("org") })).body.code).toBe("upload.not_found");
    expect((await call("DELETE", `uploads/${id}`)).status).toBe(204);
    expect(readdirSync(join(root, OWN, "uploads"))).toEqual([]);
    for (const gone of [id, newId("upl"), "x"]) expect((await call("GET", `uploads/${gone}`)).body.code).toBe("upload.not_found");
  });
});

describe("a tar", () => {
  const unpack = (body: Uint8Array<ArrayBuffer>) => call("PUT", "files/tar", { query: { path: "/" }, body });

  it("is unpacked with names of any bytes, links and many small files, and comes back", async () => {
    const odd = Buffer.from([0x61, 0xff, 0x62]);
    const small = Array.from({ length: 2_000 }, (_, index) => ({ name: `small/${index}`, data: String(index) }));
    const entries = [
      { name: odd, data: "odd" },
      { name: "hard", type: "1", link: "small/7" },
      { name: "soft", type: "2", link: "/etc/passwd" },
    ];
    expect((await unpack(tarWith({ name: "small", type: "5" }, ...small, ...entries))).body).toEqual({ entries: 2_004 });
    expect(readdirSync(join(root, "small"))).toHaveLength(2_000);
    expect(readFileSync(Buffer.concat([Buffer.from(`${root}/`), odd]), "utf8")).toBe("odd");
    expect(statSync(join(root, "hard")).ino).toBe(statSync(join(root, "small/7")).ino);
    expect((await get("/soft")).body.code).toBe("file.not_found");
    const packed = await call("GET", "files/tar", { query: { path: "/" } });
    expect(packed.bytes.includes(odd)).toBe(true);
    expect(packed.bytes.includes(OWN)).toBe(false);
  });

  it("with a device, a way upwards or the host's own in it is refused, and the entry is named", async () => {
    for (const entry of [{ name: "null", type: "3" }, { name: "disk", type: "4" }, { name: "../up" }, { name: "/absolute" }]) {
      const refused = await unpack(tarWith(entry));
      expect(refused.body.code).toBe("request.invalid");
      expect(refused.body.details).toMatchObject({ issues: [{ path: entry.name }] });
    }
    expect((await unpack(tarWith({ name: `${OWN}/x`, data: "x" }))).body.code).toBe("file.permission_denied");
    expect(held()).toEqual([]);
  });
});

describe("a tar that is refused", () => {
  const file = { name: "f", data: "after" };
  const before = async (): Promise<void> => {
    await put("/f", "before");
    await put("/d/g", "before");
  };
  const isAsBefore = (): void => {
    expect(held().toSorted()).toEqual(["d", "f"]);
    expect([readFileSync(join(root, "f"), "utf8"), readFileSync(join(root, "d/g"), "utf8")]).toEqual(["before", "before"]);
    expect(readdirSync(join(root, "d"))).toEqual(["g"]);
    expect(staged()).toEqual([]);
  };
  const unpack = (body: Uint8Array<ArrayBuffer>, path = "/", headers = {}) =>
    call("PUT", "files/tar", { query: { path, parents: "true" }, body, headers });

  it("leaves nothing of itself and everything as it was, whatever is wrong with it, and says so", async () => {
    await before();
    const whole = tarWith(file, { name: "d/new", data: "x" }, { name: "d/g", data: "x".repeat(5_000) });
    const device = tarWith(file, { name: "d/g", data: "x" }, { name: "new/x", data: "x" }, { name: "null", type: "3" });
    for (const path of ["/", "/made/for/it"]) {
      const refused = await unpack(device, path);
      expect(refused.body).toMatchObject({ code: "request.invalid", details: { files_unpacked: 0, last_unpacked: null } });
      expect(refused.body.details).toMatchObject({ issues: [{ path: "null" }] });
      isAsBefore();
    }
    const cut = await unpack(whole.slice(0, whole.length - 4_000));
    expect(cut.body).toMatchObject({ code: "request.invalid", details: { files_unpacked: 0 } });
    isAsBefore();
    const zipped = gzipSync(whole);
    const torn = await unpack(new Uint8Array(zipped.subarray(0, zipped.length - 20)), "/", { "content-encoding": "gzip" });
    expect(torn.body).toMatchObject({ code: "request.invalid", details: { files_unpacked: 0 } });
    isAsBefore();
    expect((await unpack(tarWith(file, { name: "d", data: "x" }))).body).toMatchObject({ code: "file.is_a_directory" });
    isAsBefore();
    expect((await unpack(whole)).body).toEqual({ entries: 3 });
    expect(readdirSync(join(root, "d")).toSorted()).toEqual(["g", "new"]);
  });
});

describe("a volume that is full", () => {
  const MIB = 1024 * 1024;

  it("refuses what goes beyond its quota, told before or on the way, and keeps nothing of it", async () => {
    volume = await world.ready(await world.create({ quotaMb: 1 }));
    root = world.content(volume);
    expect(volume.quotaEnforcedBy).toBe("upload");
    expect((await put("/f", new Uint8Array(2 * MIB))).body.code).toBe("volume.no_space");
    expect((await call("POST", "uploads", { json: { path: "/f", size: 2 * MIB } })).body.code).toBe("volume.no_space");
    const tar = tarWith({ name: "f", data: "x".repeat(2 * MIB) });
    expect((await call("PUT", "files/tar", { query: { path: "/" }, body: tar })).body.code).toBe("volume.no_space");
    expect(existsSync(join(root, "f"))).toBe(false);
    expect((await put("/f", new Uint8Array(MIB / 2))).status).toBe(200);
    await eventually(async () => ((await world.get(volume.id)).usage.bytes ?? 0) >= MIB / 2, PATIENT);
    expect((await put("/g", new Uint8Array(MIB / 2 + 1))).body.code).toBe("volume.no_space");
    expect(held()).toEqual(["f"]);
  });

  it("is not overrun by many that write at once, and what was refused takes no room", async () => {
    volume = await world.ready(await world.create({ quotaMb: 1 }));
    root = world.content(volume);
    const size = MIB / 8;
    const answers = await Promise.all(Array.from({ length: 24 }, (_, index) => put(`/${index}`, new Uint8Array(size))));
    const codes = new Set(answers.map(({ status, body }) => (status === 200 ? "written" : body.code)));
    expect(codes).toEqual(new Set(["written", "volume.no_space"]));
    expect(held().length * size).toBeLessThanOrEqual(MIB);
    for (const name of held()) await call("POST", "files/remove", { json: { path: `/${name}` } });
    await eventually(async () => expect((await put("/whole", new Uint8Array(MIB - 64 * 1024))).status).toBe(200), PATIENT);
  });
});

it("gives a file the whole of one of two writings at once, never a mix", async () => {
  const [a, b] = [new Uint8Array(4_000_000).fill(1), new Uint8Array(3_000_000).fill(2)];
  for (const answer of await Promise.all([put("/f", a), put("/f", b)])) expect(answer.status).toBe(200);
  const written = readFileSync(join(root, "f"));
  expect([a, b].some((whole) => written.equals(whole))).toBe(true);
});
