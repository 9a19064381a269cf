import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { newId } from "@banyan/kernel";
import { contentPath, makeStore, readStore } from "@banyan/runtime";
import { eventually } from "@banyan/testkit";
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from "vitest";
import { askAt, digestOf, type Process, type ProcessOptions, startManager } from "./several-processes.ts";
import { type Cluster, codeOf, PATIENT, startCluster, VolumesWorld } from "./volumes-harness.ts";

const MIB = 1024 * 1024;
const TEST_MS = 180_000;
/** So many that a copy of them is seen half done. */
const FILES = 10_000;
const FOLDERS = 20;

let cluster: Cluster;
let world: VolumesWorld;
let running: Process[];

beforeAll(async () => {
  cluster = await startCluster();
});
afterAll(() => cluster?.stop());
beforeEach(async () => {
  world = await VolumesWorld.open(cluster, { disk: "plain" });
  running = [];
});
afterEach(async () => {
  for (const one of running) await one.kill();
  await world.close();
});

async function start(options: ProcessOptions): Promise<Process> {
  const started = await startManager(world, options);
  running.push(started);
  return started;
}
/** At the same moment, as after a deployment. */
const startAll = (...names: string[]) => Promise.all(names.map((data) => start({ data })));
const fork = (volume: string) => world.create({ from: { volume, versionId: null } });

function fill(directory: string, files = FILES): void {
  for (let i = 0; i < files; i++) {
    const path = join(directory, `d${i % FOLDERS}`, `${i}`);
    if (i < FOLDERS) mkdirSync(dirname(path));
    writeFileSync(path, String(i));
  }
}
const filesIn = (directory: string): number => readdirSync(directory, { recursive: true }).length - FOLDERS;
/** What lies beside the content of a volume while it is being made, or was left there. */
const beside = (volume: { id: string }): string[] =>
  existsSync(dirname(world.content(volume)))
    ? readdirSync(dirname(world.content(volume))).filter((name) => name.startsWith("content."))
    : [];
/** Whose processes are at it. */
const atWorkOn = ({ id }: { id: string }): Promise<Process> =>
  eventually(() => running.find((one) => one.children().some((command) => command.includes(`${id}/content.`))) ?? false, {
    ...PATIENT,
    intervalMs: 5,
  });
/** Asked of the row: of the processes some stand still. */
const isReady = ({ id }: { id: string }) =>
  eventually(async () => expect(await world.sql`select 1 from volumes where id = ${id} and state = 'ready'`).toHaveLength(1), PATIENT);
const attempts = async (table: "volumes" | "versions") =>
  (await world.sql<{ attempts: number }[]>`select attempts from ${world.sql(table)}`).map((row) => row.attempts);

it("makes one store of a directory that several find empty at once", { timeout: TEST_MS }, async () => {
  const root = join(world.directory, "empty");
  mkdirSync(root);
  const made = await Promise.all(Array.from({ length: 16 }, () => makeStore(root)));
  expect(new Set(made.map(({ id }) => id))).toEqual(new Set([(await readStore(root)).id]));
  expect(readdirSync(root)).toHaveLength(1);
});

it("lets each have a data directory of its own only", { timeout: TEST_MS }, async () => {
  const first = await start({ data: "a" });
  await expect(start({ data: "a" })).rejects.toThrow(/another volume-manager \(process \d+\) uses/);
  await first.kill();
  await start({ data: "a" });
});

it("does each work once, whichever process takes it", { timeout: TEST_MS }, async () => {
  await startAll("a", "b", "c");
  const origin = await world.ready(await world.create());
  fill(world.content(origin), 100);
  const made = await Promise.all(Array.from({ length: 12 }, (_, i) => (i % 2 === 0 ? world.create() : fork(origin.id))));
  const versions = await Promise.all(Array.from({ length: 6 }, () => world.snapshot(origin.id)));
  for (const volume of made) await world.ready(volume);
  for (const version of versions) await world.versionReady(version);
  expect(await attempts("volumes")).toEqual(Array(13).fill(1));
  expect(await attempts("versions")).toEqual(Array(6).fill(1));
  const forks = made.filter(({ origin: from }) => from !== null);
  expect([...forks.map((one) => filesIn(world.content(one))), ...versions.map((one) => filesIn(world.versionPath(one)))]).toEqual(
    Array(12).fill(100),
  );
  for (const volume of [origin, ...made]) await world.remove(volume.id);
  await eventually(async () => {
    expect(await world.sql`select 1 from volumes where state <> 'deleted'`).toHaveLength(0);
    expect(readdirSync(join(world.root, "volumes"))).toEqual([]);
  }, PATIENT);
});

it("gives a name to one of those who ask for it at once, and an id to all who repeat it", { timeout: TEST_MS }, async () => {
  await startAll("a", "b");
  const named = await Promise.all(Array.from({ length: 12 }, () => codeOf(world.create({ name: "data" }))));
  expect(named.toSorted()).toEqual(["no error", ...Array(11).fill("volume.name_taken")]);
  const volumeId = newId("vol");
  const same = await Promise.all(Array.from({ length: 8 }, () => world.create({ volumeId, name: "same" })));
  expect(new Set(same.map(({ id }) => id))).toEqual(new Set([volumeId]));
  const versions = await Promise.all(Array.from({ length: 8 }, () => codeOf(world.snapshot("data", "v1"))));
  expect(versions.toSorted()).toEqual(["no error", ...Array(7).fill("volume.name_taken")]);
});

it("takes over the copy of a process that was killed, and leaves nothing of its own", { timeout: TEST_MS }, async () => {
  await startAll("a", "b");
  const origin = await world.ready(await world.create());
  fill(world.content(origin));
  const copy = { id: newId("vol") };
  const copying = world.create({ volumeId: copy.id, from: { volume: origin.id, versionId: null } }).catch(() => null);
  await (await atWorkOn(copy)).kill();
  await copying;
  await isReady(copy);
  expect(await world.sql`select attempts from volumes where id = ${copy.id}`).toEqual([{ attempts: 2 }]);
  expect(filesIn(world.content(copy))).toBe(FILES);
  expect(beside(copy)).toEqual([]);
});

it("takes nothing of what another process has done while it stood still", { timeout: TEST_MS }, async () => {
  await startAll("a", "b");
  const volume = await world.ready(await world.create());
  fill(world.content(volume));
  const version = await world.versionReady(await world.snapshot(volume.id));
  const restoring = world.restore(volume.id, version.id).catch(() => null);
  const first = await atWorkOn(volume);
  first.signal("SIGSTOP");
  // Its own copy goes on meanwhile, and is whole when it wakes up.
  await isReady(volume);
  writeFileSync(join(world.content(volume), "since"), "then");
  first.signal("SIGCONT");
  await restoring;
  await eventually(() => expect(first.children().filter((command) => command.includes(volume.id))).toEqual([]), PATIENT);
  expect((await askAt(world, first, `${volume.id}/files/content`, { query: { path: "/since" } })).text).toBe("then");
  expect(readFileSync(join(world.content(volume), "since"), "utf8")).toBe("then");
  expect(filesIn(world.content(volume))).toBe(FILES + 1);
  await eventually(() => expect(beside(volume)).toEqual([]), PATIENT);
});

it("takes parts of an upload wherever they are sent, each once, and completes it once", { timeout: TEST_MS }, async () => {
  const [a, b] = (await startAll("a", "b")) as [Process, Process];
  const volume = await world.ready(await world.create());
  const whole = randomBytes(12 * MIB);
  const json = { path: "/f", size: whole.length, sha256: digestOf(whole) };
  const { body: begun } = await askAt(world, a, `${volume.id}/uploads`, { method: "POST", json });
  const at = `${volume.id}/uploads/${begun.id}`;
  const put = (to: Process, from: number) => {
    const bytes = whole.subarray(from, from + 2 * MIB);
    return askAt(world, to, at, { method: "PUT", query: { offset: from, sha256: digestOf(bytes) }, bytes });
  };
  for (let from = 0; from < whole.length; from += 2 * MIB) {
    // To both at once, as by a client that did not wait for the first answer.
    const sent = await Promise.all([put(a, from), put(b, from), put(b, from)]);
    expect(sent.map(({ status, body }) => [status, body.offset])).toEqual(Array(3).fill([200, from + 2 * MIB]));
  }
  const completed = await Promise.all([a, b, a, b].map((to) => askAt(world, to, `${at}/complete`, { method: "POST" })));
  expect(completed.map(({ status, body }) => [status, body.state])).toEqual(Array(4).fill([200, "complete"]));
  expect(readFileSync(join(world.content(volume), "f")).equals(whole)).toBe(true);
  expect(await world.sql`select 1 from upload_holds`).toHaveLength(0);
});

it("goes on with an upload at another process when the one that took a part was killed", { timeout: TEST_MS }, async () => {
  const [a, b] = (await startAll("a", "b")) as [Process, Process];
  const volume = await world.ready(await world.create());
  const whole = randomBytes(8 * MIB);
  const json = { path: "/f", size: whole.length, sha256: digestOf(whole) };
  const { body: begun } = await askAt(world, a, `${volume.id}/uploads`, { method: "POST", json });
  const at = `${volume.id}/uploads/${begun.id}`;
  const put = (to: Process, from: number) => {
    const bytes = whole.subarray(from, from + 4 * MIB);
    return askAt(world, to, at, { method: "PUT", query: { offset: from, sha256: digestOf(bytes) }, bytes });
  };
  const cut = put(a, 0).catch(() => null);
  await eventually(async () => expect(await world.sql`select 1 from upload_holds`).toHaveLength(1), { intervalMs: 1 }).catch(() => {});
  await a.kill();
  await cut;
  const sent = await eventually(async () => {
    const reply = await put(b, 0);
    return reply.status === 200 && reply;
  }, PATIENT);
  expect(sent.body.offset).toBe(4 * MIB);
  expect((await put(b, 4 * MIB)).status).toBe(200);
  expect((await askAt(world, b, `${at}/complete`, { method: "POST" })).body.state).toBe("complete");
  expect(readFileSync(join(world.content(volume), "f")).equals(whole)).toBe(true);
});

it("shows through each process what was written and put back through another", { timeout: TEST_MS }, async () => {
  const [a, b] = (await startAll("a", "b")) as [Process, Process];
  const volume = await world.ready(await world.create());
  const file = { path: `${volume.id}/files/content`, query: { path: "/f" } };
  const write = (to: Process, text: string) => askAt(world, to, file.path, { method: "PUT", query: file.query, bytes: Buffer.from(text) });
  const read = async (from: Process) => (await askAt(world, from, file.path, { query: file.query })).text;
  await write(a, "first");
  expect(await read(b)).toBe("first");
  const version = await world.versionReady(await world.snapshot(volume.id));
  await write(b, "second");
  expect(await read(a)).toBe("second");
  await world.restore(volume.id, version.id);
  await world.ready(volume);
  expect([await read(a), await read(b)]).toEqual(["first", "first"]);
  await write(b, "third");
  expect(await read(a)).toBe("third");
});

it("leaves what lies in another store to who reaches that one", { timeout: TEST_MS }, async () => {
  const other = join(world.directory, "other");
  const first = await start({ data: "a" });
  mkdirSync(other);
  await makeStore(other);
  const origin = await world.ready(await world.create());
  fill(world.content(origin));
  const copy = { id: newId("vol") };
  const copying = world.create({ volumeId: copy.id, from: { volume: origin.id, versionId: null } }).catch(() => null);
  await atWorkOn(copy);
  await first.kill();
  await copying;
  await world.sql`update volumes set lease_until = now() - interval '1 minute' where id = ${copy.id}`;
  const elsewhere = await start({ data: "b", root: other });
  // It does what is its own: of the other store's it takes nothing, however long that is due.
  const own = await world.ready(await world.create());
  expect(existsSync(contentPath(other, own.id))).toBe(true);
  await world.remove(own.id);
  await eventually(() => expect(existsSync(contentPath(other, own.id))).toBe(false), PATIENT);
  const refused = await askAt(world, elsewhere, `${origin.id}/files/list`, { query: { path: "/" } });
  expect(refused).toMatchObject({ status: 503, body: { code: "volume.unreachable" } });
  expect(await world.sql`select attempts from volumes where id = ${copy.id}`).toEqual([{ attempts: 1 }]);
  expect(existsSync(dirname(contentPath(other, copy.id)))).toBe(false);
  await start({ data: "a" });
  await isReady(copy);
  expect(filesIn(world.content(copy))).toBe(FILES);
});
