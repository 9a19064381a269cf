import { freePort } from "@banyan/testkit";
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from "vitest";
import { type Process, startManager } from "./several-processes.ts";
import { type Cluster, codeOf, startCluster, VolumesWorld } from "./volumes-harness.ts";

const TEST_MS = 120_000;
const [KEY, OTHER_KEY] = ["k".repeat(32), "o".repeat(32)];

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

async function start(data: string, secretKey: string | null): Promise<Process> {
  const started = await startManager(world, { data, secretKey });
  running.push(started);
  return started;
}
/** Its store is away: that it is asked for is on record all the same, with its secrets. */
async function seal(): Promise<string> {
  const endpoint = `http://127.0.0.1:${await freePort()}`;
  const options = { provider: "Other", endpoint, region: "us-east-1" };
  const remote = { type: "s3" as const, path: "bucket", options, secrets: { access_key_id: "key", secret_access_key: "do not tell" } };
  return (await world.create({ backend: { kind: "object", remote } })).id;
}
const refusal = (data: string, key: string | null): Promise<string> =>
  start(data, key).then(
    () => "started",
    (error: Error) => error.message,
  );

it("does not start with another key than the one that secrets on record were sealed with, and says so", { timeout: TEST_MS }, async () => {
  await start("a", KEY);
  // Nothing is sealed yet: any key would do.
  await (await start("b", OTHER_KEY)).kill();
  await seal();
  for (const other of [OTHER_KEY, null]) {
    const said = await refusal(`of-${other}`, other);
    expect(said).toMatch(
      /sealed with the key [0-9a-f]{12}, and the key here is [0-9a-f]{12}: give every volume-manager.*BANYAN_SECRET_KEY/,
    );
    expect(said).not.toContain(OTHER_KEY);
  }
  expect(await refusal("c", KEY)).toBe("started");
});

it("knows by what it opens whether a key is right where secrets were sealed before keys were on record", { timeout: TEST_MS }, async () => {
  await start("a", KEY);
  await seal();
  await world.sql`delete from secret_keys`;
  expect(await refusal("b", OTHER_KEY)).toMatch(/sealed with another key, and the key here is/);
  expect(await refusal("b", KEY)).toBe("started");
  expect(await world.sql`select 1 from secret_keys`).toHaveLength(1);
});

it("is not healthy, and seals nothing, where another one's key has become the cluster's since it started", {
  timeout: TEST_MS,
}, async () => {
  const other = await start("a", OTHER_KEY);
  await seal();
  await world.sql`update volumes set state = 'deleted'`;
  await world.sql`delete from secret_keys`;
  const here = await world.start();
  await expect(here.checks.secretKey?.()).resolves.toBeUndefined();
  await world.sql`update volumes set state = 'creating' where secrets_sealed is not null`;
  await expect(here.checks.secretKey?.()).rejects.toThrow(/sealed with another key/);
  await other.kill();
  expect(await codeOf(seal())).toBe("internal");
  expect(await world.sql`select 1 from volumes where secrets_sealed is not null`).toHaveLength(1);
});
