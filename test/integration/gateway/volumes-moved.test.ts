import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { GetVolume } from "@banyan/contracts";
import { newId } from "@banyan/kernel";
import type { RunningService } from "@banyan/service";
import { eventually, freePort } from "@banyan/testkit";
import { readConfig, volumeManagerService } from "@banyan/volume-manager";
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from "vitest";
import { CLUSTER_TOKEN, type Cluster, caller, startCluster } from "./cluster.ts";

const TEST_MS = 60_000;
const SMALL = "small enough to be held";
/** More than the gateway holds: it passes through as it streams. */
const LARGE = "x".repeat(300_000);

let cluster: Cluster;
let ask: ReturnType<typeof caller>;
let dataDir: string;
let manager: RunningService | null = null;
let foreign: Server | null = null;
let volumeId: string;
let port: number;

beforeAll(async () => {
  cluster = await startCluster();
  ask = caller(cluster.url);
}, TEST_MS);
afterAll(() => cluster?.stop());
beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), "banyan-moved-"));
  port = await freePort();
  await start(port);
  volumeId = (await ask("POST", "/v1/volumes", { json: {} })).body.id;
  // From here on the gateway knows where its content is served.
  await wrote("/file", SMALL);
}, TEST_MS);
afterEach(async () => {
  await stop();
  foreign?.closeAllConnections();
  foreign?.close();
  foreign = null;
  for (const { id } of (await ask("GET", "/v1/volumes")).body.volumes ?? []) await ask("DELETE", `/v1/volumes/${id}`);
  await rm(dataDir, { recursive: true });
});

async function start(listenPort: number): Promise<void> {
  const config = readConfig({
    NATS_URL: cluster.nats.url,
    DATABASE_URL: cluster.gatewayConfig.databaseUrl,
    BANYAN_CLUSTER_TOKEN: CLUSTER_TOKEN,
    BANYAN_DATA_DIR: dataDir,
    BANYAN_VOLUME_DIR: join(dataDir, "volumes"),
    BANYAN_VOLUME_MANAGER_SCHEMA: `volumes_${dataDir
      .slice(-6)
      .toLowerCase()
      .replaceAll(/[^a-z0-9]/g, "_")}`,
    BANYAN_HEALTH_PORT: "0",
    BANYAN_VOLUMES_LISTEN_PORT: String(listenPort),
  });
  manager = await volumeManagerService.start(config, cluster.host);
  const nobodys = { orgId: newId("org"), volume: newId("vol") };
  await eventually(async () => {
    const answer = await cluster.bus.call(GetVolume, nobodys).catch((error) => error.code);
    return answer === "volume.not_found";
  });
}
async function stop(): Promise<void> {
  await manager?.stop();
  manager = null;
}
const move = async (): Promise<void> => {
  await stop();
  await start(await freePort());
};
/** Somebody else gets the port: of no volume, and of no cluster. */
async function takePort(): Promise<string[]> {
  const asked: string[] = [];
  foreign = createServer((request, response) => {
    asked.push(`${request.method}`);
    request.resume();
    response.writeHead(404, { "content-type": "text/plain" }).end("what volume?");
  });
  await new Promise<void>((resolve) => foreign?.listen(port, "127.0.0.1", resolve));
  return asked;
}

const put = (path: string, body: string) => ask("PUT", `/v1/volumes/${volumeId}/files/content?path=${path}`, { raw: body });
const wrote = async (path: string, body: string): Promise<void> => expect((await put(path, body)).status).toBeLessThan(300);
const get = async (path: string) => (await ask("GET", `/v1/volumes/${volumeId}/files/content?path=${path}`)).body;

it("finds the content of a volume again where it is served now", { timeout: TEST_MS }, async () => {
  await move();
  expect(await get("/file")).toBe(SMALL);
  await move();
  await wrote("/small", SMALL);
  await move();
  await wrote("/large", LARGE);
  expect([await get("/small"), await get("/large")]).toEqual([SMALL, LARGE]);
});

it("takes the answer of somebody else at the address for nobody's", { timeout: TEST_MS }, async () => {
  await stop();
  const asked = await takePort();
  await start(await freePort());
  expect(await get("/file")).toBe(SMALL);
  expect(asked).toEqual(["GET"]);
  await wrote("/small", SMALL);
  expect(asked).toEqual(["GET"]);
});

it("sends nothing of a stream to somebody else at the address", { timeout: TEST_MS }, async () => {
  await stop();
  const asked = await takePort();
  await start(await freePort());
  await wrote("/large", LARGE);
  expect(asked).toEqual(["GET"]);
  expect(await get("/large")).toBe(LARGE);
});

it("says that it is to be tried again while nobody serves it, and goes on when somebody does", { timeout: TEST_MS }, async () => {
  await stop();
  for (const reply of [await ask("GET", `/v1/volumes/${volumeId}/files/content?path=/file`), await put("/large", LARGE)]) {
    expect(reply).toMatchObject({ status: 503, body: { retryable: true } });
  }
  await start(await freePort());
  expect(await get("/file")).toBe(SMALL);
});
