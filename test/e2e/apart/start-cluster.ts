import { randomBytes } from "node:crypto";
import { mkdtemp } from "node:fs/promises";
import { Banyan } from "@banyan/sdk";
import { eventually, freePort, startNats, startPostgres, type TestNats, type TestPostgres } from "@banyan/testkit";
import { expect } from "vitest";
import { freeSubnet } from "../../integration/node/free-subnet.ts";
import { removeDataDir } from "../clear-away.ts";
import { footprintOf, NOTHING } from "../footprint.ts";

import { untilReady } from "../until-ready.ts";
import { Inventory } from "./inventory.ts";
import { ServiceProcess } from "./service-process.ts";

export const POOL_SIZE = 4;

/** Banyan with its services apart, on one machine: what a kill takes away is one service and nothing else. */
export interface Cluster {
  readonly nats: TestNats;
  readonly postgres: TestPostgres;
  /** Of all its services. */
  readonly dataDir: string;
  readonly gateway: ServiceProcess;
  readonly scheduler: ServiceProcess;
  readonly imageBuilder: ServiceProcess;
  readonly agent: ServiceProcess;
  readonly url: string;
  readonly apiKey: string;
  /** Tries each call once: what a service answers is what the test sees. */
  readonly banyan: Banyan;
  readonly inventory: Inventory;
  /** The last words of every service, for the reader of a failure. */
  said(): string;
  /** Ends everything, and throws where something of it stays on the machine. */
  stop(): Promise<void>;
}

export interface ClusterOptions {
  /** With a volume-manager, and where it and the first node have the volumes' store. */
  volumes?: { managerRoot: string; nodeRoot: string };
}

export async function startCluster({ volumes }: ClusterOptions = {}): Promise<Cluster> {
  const [dataDir, nats, postgres, port] = await Promise.all([mkdtemp("/var/tmp/apart-"), startNats(), startPostgres(), freePort()]);
  const apiKey = `bny_${randomBytes(16).toString("hex")}`;
  const dockerHost = process.env.DOCKER_HOST ?? "unix:///var/run/docker.sock";
  const service = (name: string, environment: Record<string, string> = {}): ServiceProcess =>
    new ServiceProcess(name, {
      NATS_URL: nats.url,
      DATABASE_URL: postgres.url,
      DOCKER_HOST: dockerHost,
      BANYAN_CLUSTER_TOKEN: "a token of this test's cluster",
      BANYAN_DATA_DIR: dataDir,
      BANYAN_HEALTH_PORT: "0",
      ...environment,
    });
  const gateway = service("gateway", { BANYAN_HTTP_PORT: String(port), BANYAN_BOOTSTRAP_KEY: apiKey, BANYAN_JOIN_NATS_URL: nats.url });
  // The loops that repair turn faster here, so that the tests need not wait for them.
  const scheduler = service("scheduler", {
    BANYAN_RECONCILE_EVERY_MS: "500",
    BANYAN_ORPHAN_GRACE_MS: "2000",
    BANYAN_START_MARGIN_MS: "1000",
  });
  const imageBuilder = service("image-builder");
  const agent = service("runner-agent", {
    BANYAN_NODE_SUBNET: freeSubnet(),
    BANYAN_NODE_DISK_MB: "8192",
    BANYAN_POOL_SIZE: String(POOL_SIZE),
    BANYAN_NODE_ON_STOP: "purge",
    ...(volumes !== undefined && { BANYAN_VOLUME_DIR: volumes.nodeRoot }),
  });
  const managers = volumes === undefined ? [] : [service("volume-manager", { BANYAN_VOLUME_DIR: volumes.managerRoot })];
  const url = `http://127.0.0.1:${port}`;
  const banyan = new Banyan({ url, apiKey, attemptsMax: 1 });
  const inventory = new Inventory(dataDir, dockerHost);
  const services = [gateway, scheduler, imageBuilder, ...managers, agent];
  const end = async (): Promise<void> => {
    for (const one of services.toReversed()) await one.end();
    await Promise.all([nats.stop(), postgres.stop()]);
  };
  const stop: Cluster["stop"] = async () => {
    const during = await footprintOf(dataDir, dockerHost);
    try {
      // One killed by its test runs once more, to end in order.
      if (!agent.isRunning) await agent.start();
      await end();
      // Whoever copies the mounts of this host at this moment, as the start of any container does, holds the disk's loop device a little longer.
      await eventually(async () => expect(await footprintOf(dataDir, dockerHost, during)).toEqual(NOTHING), { intervalMs: 100 });
    } finally {
      await end();
      await removeDataDir(dataDir);
    }
  };
  const said = (): string => services.map((one) => `--- ${one.name}\n${one.output()}`).join("\n");
  const cluster: Cluster = { nats, postgres, dataDir, gateway, scheduler, imageBuilder, agent, url, apiKey, banyan, inventory, said, stop };
  try {
    await Promise.all(services.map((one) => one.start()));
    await untilReady(new Banyan({ url, apiKey }));
  } catch (error) {
    await end();
    await removeDataDir(dataDir).catch(() => {});
    throw error;
  }
  return cluster;
}
