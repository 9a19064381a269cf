import { mkdirSync, readdirSync, rmSync } from "node:fs";
import { request } from "node:http";
import { join } from "node:path";
import { processStartTime, silentLogger } from "@banyan/kernel";
import { buildNative } from "@banyan/runtime";
import { readLivingNote, startDockerEngine } from "@banyan/service";

const SYSTEM_SOCKET = "/var/run/docker.sock";
const ENGINE_PREFIX = "docker-";
const PING_MS = 2_000;

/** What tests need of the machine: the native part, a Docker Engine, and a place for what is made once. The image itself is made by the first test that needs it. */
export default async function setup(): Promise<() => Promise<void>> {
  const cacheDir = process.env.BANYAN_TEST_CACHE_DIR ?? "/var/cache/banyan";
  mkdirSync(cacheDir, { recursive: true });
  process.env.BANYAN_IMAGE_CACHE_DIR ??= join(cacheDir, "images");
  await buildNative();
  if (process.env.DOCKER_HOST || (await answers(SYSTEM_SOCKET))) return async () => {};
  await removeAbandoned(cacheDir);
  const dataDir = join(cacheDir, `${ENGINE_PREFIX}${process.pid}`);
  const engine = await startDockerEngine({ dataDir, logger: silentLogger });
  process.env.DOCKER_HOST = engine.host;
  return async () => {
    await engine.stop();
    rmSync(dataDir, { recursive: true, force: true });
  };
}

/** Engines of runs that were killed. Each run has its own, named by its process, so that one that ends takes no other's away. */
async function removeAbandoned(cacheDir: string): Promise<void> {
  for (const name of readdirSync(cacheDir).filter((entry) => entry.startsWith(ENGINE_PREFIX))) {
    if (processStartTime(Number(name.slice(ENGINE_PREFIX.length))) !== null) continue;
    const dataDir = join(cacheDir, name);
    const isRunning = (await readLivingNote(join(dataDir, "dockerd.pid.json"))) !== null;
    if (isRunning) await (await startDockerEngine({ dataDir, logger: silentLogger })).stop();
    rmSync(dataDir, { recursive: true, force: true });
  }
}

function answers(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    const asked = request({ socketPath, path: "/_ping", timeout: PING_MS }, (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    });
    asked.once("timeout", () => asked.destroy());
    asked.once("error", () => resolve(false));
    asked.end();
  });
}
