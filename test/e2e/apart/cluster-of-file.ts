import { afterAll, afterEach, beforeAll } from "vitest";
import { IMAGE_MS } from "../start-banyan.ts";
import { clear } from "./looks.ts";
import { type Cluster, startCluster } from "./start-cluster.ts";

const START_MS = IMAGE_MS + 120_000;
const CLEAR_MS = 180_000;

/**
 * A cluster for the tests of the file that calls this, there from their first hook on. It is empty again after each, whatever that has killed, and
 * tells what its services said where one failed.
 */
export function clusterOfFile(whenCleared: (cluster: Cluster) => Promise<void> = async () => {}): Cluster {
  const cluster = {} as Cluster;
  let started: Cluster | undefined;
  beforeAll(async () => {
    started = Object.assign(cluster, await startCluster());
  }, START_MS);
  afterEach(async ({ task }) => {
    if (task.result?.state === "fail") console.error(cluster.said());
    if (!cluster.agent.isRunning) await cluster.agent.start();
    await clear(cluster);
    await whenCleared(cluster);
  }, CLEAR_MS);
  afterAll(() => started?.stop(), CLEAR_MS);
  return cluster;
}
