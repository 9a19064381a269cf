import { readFile } from "node:fs/promises";
import { systemClock } from "@banyan/kernel";
import type { BenchContext } from "./lib/context.ts";
import { type PoolBounds, slotMemoryMb, withFullPool } from "./lib/pool.ts";
import { type Report, report, type Target } from "./lib/report.ts";
import { type Result, summarise } from "./lib/stats.ts";

export const targets: Target[] = [];

const LIVE = 100;
const IDLE_SLOTS = 20;
const SETTLE_MS = 5_000;
const IDLE_WINDOW_MS = 10_000;

/**
 * Marginal host memory of an idle sandbox, its slot and shim included, and the machine's CPU with 100 of them live; with the configured slot
 * maker, and then with the OCI one on a server of its own. The pool is kept at its least. Other load on the machine shows in both figures; not
 * in `memory.slot`, which counts what is an idle slot's own.
 */
export async function run(context: BenchContext): Promise<Report> {
  const results = await measure(context, "");
  const oci = await context.restart({ BANYAN_SLOT_MAKER: "oci" });
  try {
    if (oci !== null) results.push(...(await measure(oci, ".oci")));
  } finally {
    await oci?.close();
  }
  if (oci !== null) results.push(await slotMemory("docker", "memory.slot"), await slotMemory("oci", "memory.slot.oci"));
  return report("density", results, [["memory.slot.oci", "memory.slot"]]);
}

async function slotMemory(slotMaker: PoolBounds["slotMaker"], name: string): Promise<Result> {
  const bounds = { slotMaker, parallel: 2, slots: IDLE_SLOTS };
  return summarise(name, "MB", await withFullPool(bounds, ({ slots }) => slots.map(slotMemoryMb)));
}

async function measure(context: BenchContext, suffix: string): Promise<Result[]> {
  const live = context.n ?? LIVE;
  await systemClock.sleep(SETTLE_MS);
  const beforeMb = await availableMb();
  const cpuBefore = await busyShare();
  const ids: string[] = [];
  let failed = 0;
  for (let i = 0; i < live; i++) {
    try {
      ids.push((await context.client.create({ wait_ms: 60_000 })).body.id);
    } catch {
      failed++;
    }
  }
  await systemClock.sleep(SETTLE_MS);
  const perSandboxMb = (beforeMb - (await availableMb())) / Math.max(1, ids.length);
  const cpuAfter = await busyShare();
  await Promise.all(ids.map((id) => context.client.remove(id)));
  return [
    summarise(`memory.per-sandbox${suffix}`, "MB", [perSandboxMb], failed),
    summarise(`cpu.idle.none${suffix}`, "%", [cpuBefore]),
    summarise(`cpu.idle.${live}${suffix}`, "%", [cpuAfter], failed),
  ];
}

async function availableMb(): Promise<number> {
  const match = /^MemAvailable:\s+(\d+) kB$/m.exec(await readFile("/proc/meminfo", "utf8"));
  return Number(match?.[1]) / 1024;
}

/** Share of all cores that was busy over the window, in percent: the whole machine's, so other load on it shows too. */
async function busyShare(): Promise<number> {
  const read = async () => {
    const [line = ""] = (await readFile("/proc/stat", "utf8")).split("\n");
    const ticks = line.trim().split(/\s+/).slice(1).map(Number);
    const idle = (ticks[3] ?? 0) + (ticks[4] ?? 0);
    return { idle, total: ticks.reduce((sum, value) => sum + value, 0) };
  };
  const first = await read();
  await systemClock.sleep(IDLE_WINDOW_MS);
  const second = await read();
  return 100 * (1 - (second.idle - first.idle) / (second.total - first.total));
}
