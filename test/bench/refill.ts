import { mkdtemp, rm } from "node:fs/promises";
import { silentLogger, systemClock } from "@banyan/kernel";
import { NODE_DEFAULTS, type NodeConfig, openNode } from "@banyan/runner-agent";
import { eventually, MemoryBlobs } from "@banyan/testkit";
import type { BenchContext } from "./lib/context.ts";
import { type Report, report, type Target } from "./lib/report.ts";
import { type Result, summarise } from "./lib/stats.ts";

export const targets: Target[] = [];

const SLOTS = 40;
const ROUNDS = 3;
const FULL_TIMEOUT_MS = 120_000;
/** Sockets of slots live below it: a short path. */
const DATA_ROOT = "/var/tmp/bny-";
const SUBNET = "10.206.0.0/16";
const RUNS = [
  { slotMaker: "docker", parallel: 2 },
  { slotMaker: "docker", parallel: 4 },
  { slotMaker: "oci", parallel: 1 },
  { slotMaker: "oci", parallel: 2 },
  { slotMaker: "oci", parallel: 4 },
] as const satisfies { slotMaker: NodeConfig["slotMaker"]; parallel: number }[];

/** Fills the empty pool of a fresh node, its pace not limited: slots a second. */
export async function run({ n = SLOTS, progress }: Pick<BenchContext, "n" | "progress">): Promise<Report> {
  const results: Result[] = [];
  for (const { slotMaker, parallel } of RUNS) {
    const name = `${slotMaker}.parallel-${parallel}`;
    const rates: number[] = [];
    let failed = 0;
    for (let round = 1; round <= ROUNDS; round++) {
      progress(`${name} ${round}/${ROUNDS}`);
      try {
        rates.push(await fill({ slotMaker, parallel, slots: n }));
      } catch (error) {
        console.error(String(error));
        failed++;
      }
    }
    results.push(summarise(`refill.${name}`, "1/s", rates, failed));
  }
  return report("refill", results, [
    ["refill.oci.parallel-2", "refill.docker.parallel-2"],
    ["refill.oci.parallel-4", "refill.docker.parallel-4"],
  ]);
}

async function fill(bounds: { slotMaker: NodeConfig["slotMaker"]; parallel: number; slots: number }): Promise<number> {
  const { slotMaker, parallel, slots } = bounds;
  const dataDir = await mkdtemp(DATA_ROOT);
  const config: NodeConfig = {
    ...NODE_DEFAULTS,
    dataDir,
    slotMaker,
    dockerHost: process.env.DOCKER_HOST ?? NODE_DEFAULTS.dockerHost,
    subnet: SUBNET,
    disk: "plain",
    pool: { target: slots, parallel, perS: Number.MAX_SAFE_INTEGER, slotsMax: slots, quietMs: 0 },
    onStop: "purge",
  };
  const metrics = { started: () => {}, refused: () => {}, repaired: () => {} };
  const deps = { blobs: new MemoryBlobs(), clock: systemClock, logger: silentLogger, metrics, onDied: () => {} };
  try {
    const node = await openNode(config, deps);
    const startedMs = performance.now();
    try {
      await eventually(() => node.parts.pool.status.free === slots, { timeoutMs: FULL_TIMEOUT_MS, intervalMs: 5 });
      return slots / ((performance.now() - startedMs) / 1_000);
    } finally {
      await node.stop("purge");
    }
  } finally {
    await rm(dataDir, { recursive: true, force: true });
  }
}
