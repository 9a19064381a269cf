import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import type { Volume } from "@banyan/contracts";
import { UNFINISHED_DIRECTORY as OWN } from "@banyan/runtime";
import { eventually } from "@banyan/testkit";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type Ask, ask, sha256, tarWith } from "./content-client.ts";
import { type Cluster, PATIENT, startCluster, VolumesWorld } from "./volumes-harness.ts";

const MIB = 1024 * 1024;
const TEST_MS = 180_000;
let cluster: Cluster;
let world: VolumesWorld;

beforeAll(async () => {
  cluster = await startCluster();
  world = await VolumesWorld.open(cluster, { disk: "btrfs", volumes: { usageEveryMs: 1_000, serverIdleMs: 500 } });
  await world.start();
}, PATIENT.timeoutMs);
afterAll(async () => {
  await world?.close();
  await cluster?.stop();
});

/** What is compressed by nobody. */
const random = (bytes: number): Uint8Array<ArrayBuffer> => new Uint8Array(randomBytes(bytes));
const caller =
  ({ id }: Volume) =>
  (method: string, path: string, options: Ask = {}) =>
    ask(world, method, id, path, options);
const NO_SPACE = { status: 429, body: { code: "volume.no_space", retryable: true, details: { errno: "EDQUOT" } } };

it(
  "refuses whatever is too much for a quota of the kernel, keeps what was there and nothing of the rest, until there is room",
  async () => {
    const volume = await world.ready(await world.create({ quotaMb: 16 }));
    expect(volume.quotaEnforcedBy).toBe("kernel");
    const [call, root] = [caller(volume), world.content(volume)];
    const put = (path: string, body: Uint8Array<ArrayBuffer>) => call("PUT", "files/content", { query: { path }, body });
    const held = () => readdirSync(root, { recursive: true, encoding: "utf8" }).filter((path) => !path.startsWith(OWN));
    const kept = random(MIB);
    expect((await put("/kept", kept)).status).toBe(200);
    expect((await put("/most", random(10 * MIB))).status).toBe(200);
    const asBefore = (): void => {
      expect(held().toSorted()).toEqual(["kept", "most"]);
      expect(readFileSync(join(root, "kept")).equals(kept)).toBe(true);
      const unfinished = readdirSync(join(root, OWN), { recursive: true, encoding: "utf8" }).toSorted();
      expect(unfinished.filter((path) => path !== "trees" && path !== "uploads")).toEqual([]);
    };
    const tooMuch = random(24 * MIB);
    for (const path of ["/f", "/kept", "/new/dir/f"]) {
      const refused = await put(path, tooMuch);
      expect(refused).toMatchObject(NO_SPACE);
      expect(String(refused.body.fix)).toContain("quota_mb");
    }
    const tar = tarWith({ name: "kept", data: "x" }, { name: "d/small", data: "x" }, { name: "d/large", data: "x".repeat(24 * MIB) });
    expect(await call("PUT", "files/tar", { query: { path: "/" }, body: tar })).toMatchObject(NO_SPACE);
    expect(held().toSorted()).toEqual(["kept", "most"]);
    const begun = await call("POST", "uploads", { json: { path: "/by-parts", size: tooMuch.length } });
    const at = `uploads/${begun.body.id}`;
    let offset = 0;
    let answer = begun;
    while (answer.status < 300 && offset < tooMuch.length) {
      const bytes = tooMuch.slice(offset, offset + 4 * MIB);
      answer = await call("PUT", at, { query: { offset, sha256: sha256(bytes) }, body: bytes });
      if (answer.status < 300) offset = Number(answer.body.offset);
    }
    expect(answer).toMatchObject(NO_SPACE);
    expect((await call("GET", at)).body).toMatchObject({ offset });
    expect(statSync(join(root, OWN, "uploads", String(begun.body.id))).size).toBe(offset);
    expect((await call("DELETE", at)).status).toBe(204);
    asBefore();
    await call("POST", "files/remove", { json: { path: "/most" } });
    await eventually(async () => expect((await put("/again", random(10 * MIB))).status).toBe(200), PATIENT);
  },
  TEST_MS,
);

it(
  "makes no directory in a volume that is full to the brim, and half of none",
  async () => {
    const volume = await world.ready(await world.create({ quotaMb: 4 }));
    const [call, root] = [caller(volume), world.content(volume)];
    let count = 0;
    for (let size = MIB; size >= 4_096; size /= 4) {
      // Each of them takes room, so there is an end of it.
      while ((await call("PUT", "files/content", { query: { path: `/fill/${++count}` }, body: random(size) })).status === 200);
    }
    const mkdir = () => call("POST", "files/mkdir", { json: { path: `/d${++count}/e/f`, parents: true } });
    let made = await mkdir();
    for (let tried = 0; made.status < 300 && tried < 2_000; tried++) made = await mkdir();
    expect(made).toMatchObject(NO_SPACE);
    expect(existsSync(join(root, `d${count}`))).toBe(false);
    await call("POST", "files/remove", { json: { path: "/fill", recursive: true } });
    await eventually(async () => expect((await mkdir()).status).toBe(200), PATIENT);
  },
  TEST_MS,
);

it(
  "charges what a fork shares to the volume that wrote it first, for as long as one of both has it",
  async () => {
    const source = await world.ready(await world.create({ quotaMb: 64 }));
    const call = caller(source);
    const put = (bytes: number) => call("PUT", "files/content", { query: { path: "/f" }, body: random(bytes) });
    expect((await put(40 * MIB)).status).toBe(200);
    const fork = await world.ready(await world.create({ from: { volume: source.id, versionId: null }, quotaMb: 48 }));
    const own = await caller(fork)("PUT", "files/content", { query: { path: "/g" }, body: random(40 * MIB) });
    expect(own.status).toBe(200);
    const more = await caller(fork)("PUT", "files/content", { query: { path: "/h" }, body: random(40 * MIB) });
    expect(more).toMatchObject(NO_SPACE);
    // `usage` says what is in it, shared or not.
    await eventually(async () => expect((await world.get(fork.id)).usage.bytes ?? 0).toBeGreaterThan(70 * MIB), PATIENT);
    await call("POST", "files/remove", { json: { path: "/f" } });
    expect(await put(40 * MIB)).toMatchObject(NO_SPACE);
    await world.remove(fork.id);
    await eventually(() => expect(existsSync(world.content(fork))).toBe(false), PATIENT);
    // The kernel gives blocks back when nobody is rooted there any more, and after a commit that is not to be waited for.
    execFileSync("btrfs", ["filesystem", "sync", world.root]);
    execFileSync("btrfs", ["subvolume", "sync", world.root], { timeout: 60_000 });
    await eventually(async () => expect((await put(40 * MIB)).status).toBe(200), { timeoutMs: 120_000 });
  },
  TEST_MS,
);
