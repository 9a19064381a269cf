import { createHash, randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { ask } from "./content-client.ts";
import { type Cluster, PATIENT, startCluster, VolumesWorld } from "./volumes-harness.ts";

const MIB = 1024 * 1024;
let cluster: Cluster;
let world: VolumesWorld;

beforeAll(async () => {
  cluster = await startCluster();
  world = await VolumesWorld.open(cluster, { disk: "plain" });
}, PATIENT.timeoutMs);
afterAll(async () => {
  await world?.close();
  await cluster?.stop();
});

it("goes on with an upload where it stood when the volume-manager was killed", { timeout: 120_000 }, async () => {
  const whole = randomBytes(12 * MIB);
  const digest = (bytes: Buffer): string => createHash("sha256").update(bytes).digest("hex");
  const first = await world.startProcess();
  let running = first;
  try {
    const volume = await world.ready(await world.create());
    const call = (method: string, path: string, options = {}) => ask(world, method, volume.id, path, options);
    const begun = await call("POST", "uploads", { json: { path: "/f", size: whole.length, sha256: digest(whole) } });
    const at = `uploads/${begun.body.id}`;
    const send = (from: number) => {
      const bytes = whole.subarray(from, from + 4 * MIB);
      return call("PUT", at, { query: { offset: from, sha256: digest(bytes) }, body: new Uint8Array(bytes) });
    };
    expect((await send(0)).body.offset).toBe(4 * MIB);
    const cut = send(4 * MIB).catch(() => null);
    await first.kill();
    await cut;
    running = await world.startProcess();
    await world.ready(volume);
    const { offset } = (await call("GET", at)).body;
    expect([4 * MIB, 8 * MIB]).toContain(offset);
    for (let from = Number(offset); from < whole.length; from += 4 * MIB) expect((await send(from)).status).toBe(200);
    expect((await call("POST", `${at}/complete`)).body).toMatchObject({ state: "complete" });
    expect(readFileSync(join(world.content(volume), "f")).equals(whole)).toBe(true);
  } finally {
    await running.kill();
  }
});
