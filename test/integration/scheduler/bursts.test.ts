import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { connectBus, permissionsConfig } from "@banyan/bus";
import { ForkEnded, type InputOf, RunFork } from "@banyan/contracts";
import { newId, silentLogger } from "@banyan/kernel";
import { startNats, startPostgres } from "@banyan/testkit";
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from "vitest";
import { forkSpecOf } from "../../../services/scheduler/src/domain/fork.fixture.ts";
import { type Cluster, eventually, LARGE_QUOTA, readyNodes, startWorld, type World } from "./harness.ts";

const ROOT = join(import.meta.dirname, "../../..");
const PASSWORD = "secret";
/** Beside the publisher, one who may do everything, as the test itself. */
const CONFIG = permissionsConfig([{ user: "publisher", password: PASSWORD, role: { kind: "publisher" } }]).replace(
  "users: [\n",
  'users: [\n    { user: "all", password: "all" }\n',
);

let cluster: Cluster;
let world: World;

beforeAll(async () => {
  const [nats, postgres] = await Promise.all([startNats({ config: CONFIG }), startPostgres()]);
  cluster = {
    nats: { ...nats, url: nats.url.replace("nats://", "nats://all:all@") },
    postgres,
    async stop() {
      await nats.stop();
      await postgres.stop();
    },
  };
});
afterAll(() => cluster?.stop());
beforeEach(async () => {
  world = await startWorld(cluster);
  await readyNodes(world, 2);
});
afterEach(() => world.end());

/** The page's own program, as somebody would copy it. */
async function exampleOf(page: string): Promise<string> {
  const text = await readFile(join(ROOT, "infra/docs", page), "utf8");
  const [, code] = /```js\n([\s\S]*?)```/.exec(text) ?? [];
  if (code === undefined) throw new Error(`${page} has no program`);
  return code;
}

async function runExample(env: Record<string, string>): Promise<{ code: number | null; out: string; err: string }> {
  // The workspace's folder of tests is where the NATS client is installed.
  const child = spawn(process.execPath, ["--input-type=module", "-"], { cwd: join(ROOT, "test"), env: { ...process.env, ...env } });
  child.stdin.end(await exampleOf("fork-bursts.md"));
  let out = "";
  let err = "";
  child.stdout.on("data", (chunk: Buffer) => {
    out += chunk.toString();
  });
  child.stderr.on("data", (chunk: Buffer) => {
    err += chunk.toString();
  });
  const [code] = await once(child, "close");
  return { code, out, err };
}

it("runs the burst of the documents: three forks of twenty, published by one who may do nothing else", async () => {
  const { code, out, err } = await runExample({
    NATS_HOST: `127.0.0.1:${cluster.nats.port}`,
    NATS_PASSWORD: PASSWORD,
    ORG_ID: world.orgId,
    FORKS: "3",
    CHILDREN: "20",
  });
  expect({ code, err: code === 0 ? "" : err }).toEqual({ code: 0, err: "" });
  const forks = out
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  expect(forks).toHaveLength(3);
  for (const fork of forks) expect(fork).toMatchObject({ state: "done", reason: null, total: 20, succeeded: 20, failed: 0 });
  expect(err).toMatch(/more ended on/);
});

it("tells whoever published an order that is refused why, and goes on with the next", async () => {
  const publisher = await connectBus({
    servers: `nats://publisher:${PASSWORD}@127.0.0.1:${cluster.nats.port}`,
    name: "load",
    logger: silentLogger,
  });
  const ended = new Map<string, InputOf<typeof ForkEnded>>();
  const listening = world.bus.onEvents(ForkEnded, { durable: "refusals" }, async (event) => void ended.set(event.forkId, event));
  try {
    const good = orderOf({ image: "default" });
    const orders = [orderOf({ image: "missing" }), orderOf({ image: "default", env: { BANYAN_FORK_ID: "mine" } }), good];
    const unreadable = { ...good, forkId: newId("frk"), spec: { ...good.spec, count: 0 } };
    for (const order of [unreadable, ...orders]) await publisher.publishJob(RunFork, order, { dedupeId: order.forkId });
    await eventually(() => orders.every(({ forkId }) => ended.has(forkId)));
    const how = orders.map(({ forkId }) => ended.get(forkId));
    expect(how[0]).toMatchObject({ state: "failed", reason: "image.not_found" });
    expect(how[1]).toMatchObject({ state: "failed", reason: "request.invalid" });
    expect(how[2]).toMatchObject({ state: "done", counts: { total: 3, running: 3 } });
  } finally {
    await listening.stop();
    await publisher.close();
  }
});

function orderOf({ image, env = {} }: { image: string; env?: Record<string, string> }): InputOf<typeof RunFork> {
  return {
    orgId: world.orgId,
    forkId: newId("frk"),
    source: { kind: "image", image },
    spec: forkSpecOf({ count: 3, env, retries: 0, deadlineS: 60 }),
    quota: LARGE_QUOTA,
  };
}
