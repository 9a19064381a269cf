import { createHash, type Hash } from "node:crypto";
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { type IncomingMessage, request } from "node:http";
import { join } from "node:path";
import { api, RouteVolume, type Volume } from "@banyan/contracts";
import { afterAll, beforeAll, expect, it } from "vitest";
import { ask, sha256 } from "./content-client.ts";
import { type Cluster, PATIENT, startCluster, VolumesWorld } from "./volumes-harness.ts";

const MIB = 1024 * 1024;
const SIZE_MIB = 1_024;
/** Parts are held whole in memory, at most 64 MiB of one organisation; the rest is what a collector leaves lying about. */
const GROWTH_MIB_MAX = 300;
const TEST_MS = 300_000;
let cluster: Cluster;
let world: VolumesWorld;
let volume: Volume;
let url: string;
let manager: { pid: number; kill(): Promise<void> };

beforeAll(async () => {
  cluster = await startCluster();
  world = await VolumesWorld.open(cluster, { disk: "plain" });
  manager = await world.startProcess();
  volume = await world.ready(await world.create());
  ({ url } = await world.bus.call(RouteVolume, { orgId: world.orgId, volume: volume.id }));
}, PATIENT.timeoutMs);
afterAll(async () => {
  await manager?.kill();
  await world?.close();
  await cluster?.stop();
});

function memoryMib(name: "VmRSS" | "VmHWM"): number {
  const status = readFileSync(`/proc/${manager.pid}/status`, "utf8");
  return Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(status)?.[1]) / 1_024;
}

/** By how much the most that it ever held while it worked is more than what it held before. */
async function growthMib(work: () => Promise<void>): Promise<number> {
  writeFileSync(`/proc/${manager.pid}/clear_refs`, "5");
  const before = memoryMib("VmRSS");
  await work();
  return memoryMib("VmHWM") - before;
}

const chunk = Buffer.alloc(MIB, "what is large is many times the same ");

function send(method: string, target: string) {
  const { authorization, orgId } = api.FORWARD_HEADERS;
  const headers = { [authorization]: `Bearer ${world.config.clusterToken}`, [orgId]: world.orgId };
  const sent = request(`${url}/volumes/${volume.id}/${target}`, { method, headers });
  const answered = new Promise<IncomingMessage>((resolve, reject) => {
    sent.on("response", resolve).on("error", reject);
  });
  return { sent, answered };
}

async function upload(hash: Hash): Promise<void> {
  const { sent, answered } = send("PUT", "files/content?path=/large");
  for (let at = 0; at < SIZE_MIB; at++) {
    hash.update(chunk);
    if (!sent.write(chunk)) await Promise.race([new Promise((resolve) => sent.once("drain", resolve)), answered]);
  }
  sent.end();
  expect((await answered).resume().statusCode).toBe(200);
}

async function download(hash: Hash): Promise<void> {
  const { sent, answered } = send("GET", "files/content?path=/large");
  sent.end();
  for await (const bytes of await answered) hash.update(bytes);
}

it(
  "passes 1 GiB up and down in the same memory as little",
  async () => {
    const [up, down] = [createHash("sha256"), createHash("sha256")];
    expect(await growthMib(() => upload(up))).toBeLessThan(GROWTH_MIB_MAX);
    expect(statSync(join(world.content(volume), "large")).size).toBe(SIZE_MIB * MIB);
    expect(await growthMib(() => download(down))).toBeLessThan(GROWTH_MIB_MAX);
    expect(down.digest("hex")).toBe(up.digest("hex"));
  },
  TEST_MS,
);

it(
  "takes large parts of many uploads at once in bounded memory",
  async () => {
    const part = Buffer.alloc(16 * MIB, "a part ");
    const [digest, parts] = [sha256(part), 3];
    const one = async (index: number): Promise<void> => {
      const json = { path: `/parts/${index}`, size: parts * part.length };
      const { id } = (await ask(world, "POST", volume.id, "uploads", { json })).body;
      for (let offset = 0; offset < parts * part.length; offset += part.length) {
        const put = { query: { offset, sha256: digest }, body: new Uint8Array(part.buffer) };
        expect((await ask(world, "PUT", volume.id, `uploads/${id}`, put)).body.offset).toBe(offset + part.length);
      }
      expect((await ask(world, "POST", volume.id, `uploads/${id}/complete`)).body.state).toBe("complete");
    };
    const all = async (): Promise<void> => void (await Promise.all(Array.from({ length: 12 }, (_, index) => one(index))));
    expect(await growthMib(all)).toBeLessThan(GROWTH_MIB_MAX);
  },
  TEST_MS,
);
