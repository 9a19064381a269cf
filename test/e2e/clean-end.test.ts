import { once } from "node:events";
import { existsSync } from "node:fs";
import { createServer } from "node:net";
import { eventually } from "@banyan/testkit";
import { afterEach, beforeEach, expect, it } from "vitest";
import { removeDataDir } from "./clear-away.ts";
import { footprintOf, NOTHING } from "./footprint.ts";
import { collect, IMAGE_MS, makeDataDir, PATIENCE_MS, spawnBanyan, startBanyan, type TestBanyan } from "./start-banyan.ts";
import { untilReady } from "./until-ready.ts";

const dockerHost = () => process.env.DOCKER_HOST ?? "unix:///var/run/docker.sock";
let dataDir: string;
let running: TestBanyan | null = null;

beforeEach(async () => {
  dataDir = await makeDataDir();
});
afterEach(async () => {
  await running?.stop();
  running = null;
  await removeDataDir(dataDir);
});

it(
  "leaves nothing on the machine after Ctrl-C but its data",
  async () => {
    running = await startBanyan(dataDir);
    await untilReady(running.banyan);
    const sandbox = await running.banyan.sandboxes.create();
    await sandbox.processes.start("sleep 1000", { id: "sleeper" });
    const during = await footprintOf(dataDir, dockerHost());
    const empty = Object.entries(during).filter(([, found]) => found.length === 0);
    expect(empty, "the look at the machine must find what is there").toEqual([]);

    expect(await running.stop()).toBe(0);
    await eventually(async () => expect(await footprintOf(dataDir, dockerHost(), during)).toEqual(NOTHING));

    running = await startBanyan(dataDir);
    const { sandboxes } = running.banyan;
    await eventually(async () => (await sandboxes.at(sandbox.id).look()).state === "stopped");
  },
  IMAGE_MS + PATIENCE_MS,
);

it(
  "ends at once at the second Ctrl-C, and the next start cleans up",
  async () => {
    running = await startBanyan(dataDir);
    running.signal("SIGINT");
    running.signal("SIGINT");
    expect([0, 130]).toContain(await running.exited);
    running = await startBanyan(dataDir);
    expect(await running.stop()).toBe(0);
    await eventually(async () => expect(await footprintOf(dataDir, dockerHost())).toEqual(NOTHING));
  },
  PATIENCE_MS,
);

it.each([
  ["a taken port", (port: number) => ({ BANYAN_HTTP_PORT: String(port) }), /Port \d+ on 127\.0\.0\.1 is taken: .*--port/],
  ["an address that is not this machine's", () => ({ BANYAN_HTTP_HOST: "192.0.2.1" }), /no address 192\.0\.2\.1: .*--host/],
  [
    "a Docker Engine that does not answer",
    () => ({ DOCKER_HOST: "unix:///nonexistent.sock" }),
    /No Docker Engine answers at DOCKER_HOST=.*unset DOCKER_HOST/,
  ],
  ["a setting that is no number", () => ({ BANYAN_POOL_SIZE: "many" }), /BANYAN_POOL_SIZE/],
])(
  "says in one sentence what is wrong with %s, and leaves nothing",
  async (_, envOf, sentence) => {
    const taken = createServer().listen(0, "127.0.0.1");
    await once(taken, "listening");
    const address = taken.address();
    const child = spawnBanyan(dataDir, envOf(address !== null && typeof address === "object" ? address.port : 0));
    const output = collect(child);
    const [code] = await once(child, "exit");
    taken.close();
    expect(code).toBe(1);
    expect(output()).toMatch(sentence);
    expect(output()).not.toMatch(/\n\s+at /);
    expect(existsSync(`${dataDir}/standalone.pid.json`)).toBe(false);
  },
  PATIENCE_MS,
);

it(
  "refuses a data directory that another one holds",
  async () => {
    running = await startBanyan(dataDir);
    const second = spawnBanyan(dataDir);
    const output = collect(second);
    const [code] = await once(second, "exit");
    expect(code).toBe(1);
    expect(output()).toMatch(/Banyan runs already with the data directory .* \(process \d+\): .*--data-dir/);
  },
  PATIENCE_MS,
);
