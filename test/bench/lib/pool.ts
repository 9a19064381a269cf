import { readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { silentLogger, systemClock } from "@banyan/kernel";
import { NODE_DEFAULTS, type NodeConfig, openNode } from "@banyan/runner-agent";
import type { Slot } from "@banyan/runtime";
import { eventually, MemoryBlobs } from "@banyan/testkit";

export interface PoolBounds {
  slotMaker: NodeConfig["slotMaker"];
  parallel: number;
  slots: number;
}

const FULL_TIMEOUT_MS = 120_000;
/** Sockets of slots live below it: a short path. */
const DATA_ROOT = "/var/tmp/bny-";
const SUBNET = "10.206.0.0/16";
const KB = 1024;

/** A fresh node in this process, its pace not limited: fills its pool, hands it over, and leaves nothing. */
export async function withFullPool<T>(bounds: PoolBounds, use: (filled: { ms: number; slots: readonly Slot[] }) => T): Promise<T> {
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
      const { pool } = node.parts;
      await eventually(() => pool.status.free === slots, { timeoutMs: FULL_TIMEOUT_MS, intervalMs: 5 });
      return use({ ms: performance.now() - startedMs, slots: pool.freeSlots() });
    } finally {
      await node.stop("purge");
    }
  } finally {
    await rm(dataDir, { recursive: true, force: true });
  }
}

/** What can be told to be an idle slot's own: its cgroup's memory, the kernel's included, and that of the shim above its init. */
export function slotMemoryMb({ pid, cgroups }: Slot): number {
  const usage = `${cgroups.memory}/${cgroups.version === 2 ? "memory.current" : "memory.usage_in_bytes"}`;
  const parent = Number(/^PPid:\s+(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);
  // An orphan's parent is the host's own first process.
  const shimKb = parent <= 1 ? 0 : Number(/^Pss:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${parent}/smaps_rollup`, "utf8"))?.[1]);
  return (Number(readFileSync(usage, "utf8")) / KB + shimKb) / KB;
}
