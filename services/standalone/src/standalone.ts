import { type Clock, type Logger, systemClock } from "@banyan/kernel";
import { type RunningService, startHealthServer, startServices } from "@banyan/service";
import { createTelemetry } from "@banyan/telemetry";
import { type Backing, startBacking, stopBacking } from "./backing.ts";
import type { Config } from "./config.ts";
import { keptSecret } from "./data-dir.ts";
import { allServices } from "./services.ts";

const SECRET_LENGTH_MIN = 16;

export interface Standalone {
  readonly url: string;
  readonly apiKey: string;
  readonly backing: Backing;
  /** In order: the services, the last one first, then what they stood on. */
  stop(): Promise<void>;
}

export interface StartStandaloneOptions {
  logger: Logger;
  clock?: Clock;
  /** Told as each part is begun, and when it is done. */
  step<T>(label: string, work: () => Promise<T>): Promise<T>;
}

/** All services in this process, over real NATS, Postgres and Docker. */
export async function startStandalone(config: Config, { logger, step, clock = systemClock }: StartStandaloneOptions): Promise<Standalone> {
  assertConfigured(config);
  const backing = await step("Starting NATS, Postgres and the Docker Engine", () => startBacking(config, logger));
  const undo: (() => Promise<void>)[] = [() => stopBacking(backing.own, logger)];
  const stop = async (): Promise<void> => {
    for (const part of undo.splice(0).reverse()) await part();
  };
  try {
    const apiKey = config.apiKey ?? (await keptSecret(config.dataDir, "api-key", "bny_"));
    const environment = await environmentFor(config, backing, apiKey);
    const telemetry = await createTelemetry({ serviceName: "banyan-standalone", otlpEndpoint: config.otlpEndpoint });
    undo.push(() => telemetry.stop());
    let services: RunningService | null = null;
    const health = await startHealthServer({
      host: config.healthHost,
      port: config.healthPort,
      checks: () => services?.checks ?? null,
      handleMetrics: telemetry.handleMetrics,
      logger,
      clock,
    });
    undo.push(() => health.stop());
    let url = "";
    const entries = allServices(environment, (gateway) => {
      url = gateway.url;
    });
    const running = await step("Starting the services", () => startServices(entries, { logger, clock, telemetry }));
    services = running;
    undo.push(() => running.stop());
    return { url, apiKey, backing, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** A wrong setting is said before anything is started. */
function assertConfigured(config: Config): void {
  const url = "unknown:yet";
  const known = { NATS_URL: url, DATABASE_URL: url, DOCKER_HOST: "unix:///", BANYAN_CLUSTER_TOKEN: "x".repeat(SECRET_LENGTH_MIN) };
  allServices({ ...config.environment, ...known }, () => {});
}

/** What a deployment would set for each service. */
async function environmentFor(config: Config, backing: Backing, apiKey: string): Promise<NodeJS.ProcessEnv> {
  return {
    ...config.environment,
    NATS_URL: backing.natsUrl,
    BANYAN_JOIN_NATS_URL: config.environment.BANYAN_JOIN_NATS_URL ?? backing.natsUrl,
    DATABASE_URL: backing.databaseUrl,
    DOCKER_HOST: backing.dockerHost,
    BANYAN_DATA_DIR: config.dataDir,
    BANYAN_CLUSTER_TOKEN: config.clusterToken ?? (await keptSecret(config.dataDir, "cluster-token")),
    BANYAN_BOOTSTRAP_KEY: apiKey,
    // This process ends as a whole: what its node made goes with it.
    BANYAN_NODE_ON_STOP: "purge",
    BANYAN_VOLUMES_ON_STOP: "purge",
  };
}
