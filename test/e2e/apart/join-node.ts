import { readFileSync } from "node:fs";
import { mkdtemp } from "node:fs/promises";
import { join } from "node:path";
import { eventually } from "@banyan/testkit";
import { expect } from "vitest";
import { freeSubnet } from "../../integration/node/free-subnet.ts";
import { removeDataDir } from "../clear-away.ts";
import { footprintOf, NOTHING } from "../footprint.ts";

import { ServiceProcess } from "./service-process.ts";
import type { Cluster } from "./start-cluster.ts";

const POOL_SIZE = 3;
const ENOUGH_MS = 120_000;

/** One more node of a cluster, on the same machine with a data directory, a pool and a subnet of its own. */
export interface JoinedNode {
  readonly nodeId: string;
  readonly dataDir: string;
  readonly agent: ServiceProcess;
  /** Ends it, and throws where something of it stays on the machine. */
  stop(): Promise<void>;
}

/** It is told nothing but a token and where the gateway is. */
export async function joinNode(cluster: Cluster, environment: Record<string, string> = {}): Promise<JoinedNode> {
  const dataDir = await mkdtemp("/var/tmp/apart-node-");
  const dockerHost = process.env.DOCKER_HOST ?? "unix:///var/run/docker.sock";
  const { token } = await cluster.banyan.cluster.createNodeToken({ ttlS: 600 });
  const agent = new ServiceProcess("runner-agent", {
    DOCKER_HOST: dockerHost,
    BANYAN_GATEWAY_URL: cluster.url,
    BANYAN_JOIN_TOKEN: token,
    BANYAN_DATA_DIR: dataDir,
    BANYAN_HEALTH_PORT: "0",
    BANYAN_NODE_SUBNET: freeSubnet(),
    BANYAN_NODE_DISK_MB: "8192",
    BANYAN_POOL_SIZE: String(POOL_SIZE),
    BANYAN_NODE_ON_STOP: "purge",
    ...environment,
  });
  const stop = async (): Promise<void> => {
    try {
      // One killed by its test runs once more, to end in order.
      if (!agent.isRunning) await agent.start();
      const during = await footprintOf(dataDir, dockerHost);
      await agent.end();
      await eventually(async () => expect(await footprintOf(dataDir, dockerHost, during)).toEqual(NOTHING), { intervalMs: 100 });
    } finally {
      await agent.end();
      await removeDataDir(dataDir);
    }
  };
  try {
    await agent.start();
    const nodeId = readFileSync(join(dataDir, "node-id"), "utf8").trim();
    await eventually(
      async () => {
        const node = (await cluster.banyan.nodes()).find(({ id }) => id === nodeId);
        expect(node?.pool.free).toBe(POOL_SIZE);
      },
      { timeoutMs: ENOUGH_MS, intervalMs: 200 },
    );
    return { nodeId, dataDir, agent, stop };
  } catch (error) {
    await agent.end();
    await removeDataDir(dataDir).catch(() => {});
    throw error;
  }
}
