import { mkdirSync } from "node:fs";
import { request } from "node:http";
import { join } from "node:path";
import { silentLogger } from "@banyan/kernel";
import { buildNative } from "@banyan/runtime";
import { startDockerEngine } from "@banyan/service";

const SYSTEM_SOCKET = "/var/run/docker.sock";
const PING_MS = 2_000;

/** What tests need of the machine: the native part, a Docker Engine, and a place for what is made once. The image itself is made by the first test that needs it. */
export default async function setup(): Promise<() => Promise<void>> {
  const cacheDir = process.env.BANYAN_TEST_CACHE_DIR ?? "/var/cache/banyan";
  mkdirSync(cacheDir, { recursive: true });
  process.env.BANYAN_IMAGE_CACHE_DIR ??= join(cacheDir, "images");
  await buildNative();
  if (process.env.DOCKER_HOST || (await answers(SYSTEM_SOCKET))) return async () => {};
  const engine = await startDockerEngine({ dataDir: join(cacheDir, "docker"), logger: silentLogger });
  process.env.DOCKER_HOST = engine.host;
  return () => engine.stop();
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
