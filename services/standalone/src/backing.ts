import { existsSync } from "node:fs";
import { request } from "node:http";
import { join } from "node:path";
import { type Logger, messageOf } from "@banyan/kernel";
import { startDockerEngine, startNatsServer, startPostgresServer } from "@banyan/service";
import type { Config } from "./config.ts";
import { keptSecret } from "./data-dir.ts";

const PING_MS = 2_000;

/** What the services stand on: configured by the user, or started here. */
export interface Backing {
  natsUrl: string;
  databaseUrl: string;
  dockerHost: string;
  /** Those started here, by name. */
  own: { name: string; pid: number; stop(): Promise<void> }[];
}

/** Starts what is not configured, all at once. When one fails, those that started are stopped. */
export async function startBacking(config: Config, logger: Logger): Promise<Backing> {
  const own: Backing["own"] = [];
  const started = await Promise.allSettled([
    startNats(config, logger, own),
    startPostgres(config, logger, own),
    startDocker(config, logger, own),
  ]);
  const failed = started.find((result) => result.status === "rejected");
  if (failed) {
    await stopBacking(own, logger);
    throw failed.reason;
  }
  const [natsUrl, databaseUrl, dockerHost] = started.map((result) => (result.status === "fulfilled" ? result.value : ""));
  return { natsUrl: natsUrl ?? "", databaseUrl: databaseUrl ?? "", dockerHost: dockerHost ?? "", own };
}

/** One that does not stop does not keep the others from stopping. */
export async function stopBacking(own: Backing["own"], logger: Logger): Promise<void> {
  await Promise.all(
    own.map(async ({ name, pid, stop }) => {
      try {
        await stop();
      } catch (err) {
        logger.error({ err, pid, reason: messageOf(err) }, `${name} does not stop`);
      }
    }),
  );
}

async function startNats(config: Config, logger: Logger, own: Backing["own"]): Promise<string> {
  if (config.natsUrl !== null) return config.natsUrl;
  const token = await keptSecret(config.dataDir, "nats-token");
  const server = await startNatsServer({ dataDir: join(config.dataDir, "nats"), token, logger });
  own.push({ name: "NATS", pid: server.pid, stop: () => server.stop() });
  return server.url;
}

async function startPostgres(config: Config, logger: Logger, own: Backing["own"]): Promise<string> {
  if (config.databaseUrl !== null) return config.databaseUrl;
  const server = await startPostgresServer({ dataDir: join(config.dataDir, "postgres"), logger });
  own.push({ name: "Postgres", pid: server.pid, stop: () => server.stop() });
  return server.url;
}

async function startDocker(config: Config, logger: Logger, own: Backing["own"]): Promise<string> {
  if (config.dockerHost !== null) {
    if (await answers(config.dockerHost)) return config.dockerHost;
    throw new Error(
      `No Docker Engine answers at DOCKER_HOST=${config.dockerHost}: start it, or unset DOCKER_HOST to have one started here.`,
    );
  }
  const system = config.dockerHostSystem;
  if (system !== null && (await answers(system))) return system;
  const engine = await startDockerEngine({ dataDir: join(config.dataDir, "docker"), logger });
  own.push({ name: "Docker Engine", pid: engine.pid, stop: () => engine.stop() });
  return engine.host;
}

function answers(dockerHost: string): Promise<boolean> {
  const url = new URL(dockerHost);
  if (url.protocol === "unix:" && !existsSync(url.pathname)) return Promise.resolve(false);
  const target = url.protocol === "unix:" ? { socketPath: url.pathname } : { host: url.hostname, port: url.port };
  return new Promise((resolve) => {
    const asked = request({ ...target, path: "/_ping", timeout: PING_MS }, (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    });
    asked.once("timeout", () => asked.destroy());
    asked.once("error", () => resolve(false));
    asked.end();
  });
}
