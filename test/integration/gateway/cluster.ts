import { type Bus, connectBus } from "@banyan/bus";
import { CONFIG_DEFAULTS, type Config, type RunningGateway, startGateway } from "@banyan/gateway";
import { silentLogger, systemClock } from "@banyan/kernel";
import { SCHEDULING_DEFAULTS, schedulerService } from "@banyan/scheduler";
import type { Host, RunningService } from "@banyan/service";
import { createTelemetry } from "@banyan/telemetry";
import {
  type FakeNode,
  type FakeNodeOptions,
  fakeNode,
  freePort,
  startNats,
  startPostgres,
  type TestNats,
  type TestPostgres,
} from "@banyan/testkit";
import { type FakeBuilder, serveImages } from "./fake-builder.ts";

export const BOOTSTRAP_KEY = "bny_bootstrap-key-of-the-gateway-tests-0000000";
export const CLUSTER_TOKEN = "cluster-token-of-the-gateway-tests";

export interface Cluster {
  nats: TestNats;
  postgres: TestPostgres;
  bus: Bus;
  node: FakeNode;
  builder: FakeBuilder;
  gateway: RunningGateway;
  url: string;
  host: Host;
  gatewayConfig: Config;
  /** One more gateway on the same bus and database. */
  anotherGateway(config?: Partial<Config>): Promise<RunningGateway>;
  stop(): Promise<void>;
}

/** Real NATS, Postgres, scheduler and gateway; the node starts nothing, and the images are said to be there. */
export async function startCluster(nodeOptions: Omit<FakeNodeOptions, "bus"> = {}): Promise<Cluster> {
  const [nats, postgres] = await Promise.all([startNats(), startPostgres()]);
  const telemetry = await createTelemetry({ serviceName: "test" });
  const host: Host = { logger: silentLogger, clock: systemClock, metrics: telemetry.metricsOf("test"), telemetry };
  const bus = await connectBus({ servers: nats.url, name: "test", logger: silentLogger });
  const builder = serveImages(bus);
  const databaseUrl = await postgres.freshDatabase();
  const scheduler = await startScheduler(nats.url, databaseUrl, host);
  const node = await fakeNode({ bus, ...nodeOptions });
  const gatewayConfig: Config = {
    ...CONFIG_DEFAULTS,
    natsUrl: nats.url,
    databaseUrl,
    clusterToken: CLUSTER_TOKEN,
    httpPort: await freePort(),
    bootstrapKey: BOOTSTRAP_KEY,
  };
  const gateway = await startGateway(gatewayConfig, host);
  const others: RunningService[] = [];
  return {
    nats,
    postgres,
    bus,
    node,
    builder,
    gateway,
    url: gateway.url,
    host,
    gatewayConfig,
    async anotherGateway(config = {}) {
      const other = await startGateway({ ...gatewayConfig, httpPort: 0, ...config }, host);
      others.push(other);
      return other;
    },
    async stop() {
      for (const service of [...others, gateway, scheduler]) await service.stop();
      await node.stop();
      await bus.close();
      await telemetry.stop();
      await Promise.all([nats.stop(), postgres.stop()]);
    },
  };
}

function startScheduler(natsUrl: string, databaseUrl: string, host: Host): Promise<RunningService> {
  const base = { logLevel: "silent" as const, healthHost: "127.0.0.1", healthPort: 0, otlpEndpoint: null };
  return schedulerService.start({ ...base, natsUrl, databaseUrl, databaseSchema: "scheduler", scheduling: SCHEDULING_DEFAULTS }, host);
}

export interface Answer {
  status: number;
  headers: Headers;
  // biome-ignore lint/suspicious/noExplicitAny: what a test asserts on is whatever came over the wire.
  body: any;
}

export interface Ask {
  key?: string | null;
  headers?: Record<string, string>;
  json?: unknown;
  raw?: string | Uint8Array<ArrayBuffer>;
}

/** Calls as a plain HTTP client would. */
export function caller(url: string): (method: string, path: string, ask?: Ask) => Promise<Answer> {
  return async (method, path, { key = BOOTSTRAP_KEY, headers = {}, json, raw } = {}) => {
    const body = raw ?? (json === undefined ? undefined : JSON.stringify(json));
    const response = await fetch(`${url}${path}`, {
      method,
      headers: { ...(key !== null && { authorization: `Bearer ${key}` }), ...headers },
      ...(body !== undefined && { body }),
    });
    const text = await response.text();
    const isJson = /json/.test(response.headers.get("content-type") ?? "");
    return { status: response.status, headers: response.headers, body: isJson && text !== "" ? JSON.parse(text) : text };
  };
}
