import type { BenchContext } from "./lib/context.ts";
import { type PoolBounds, withFullPool } from "./lib/pool.ts";
import { type Report, report, type Target } from "./lib/report.ts";
import { type Result, summarise } from "./lib/stats.ts";

export const targets: Target[] = [];

const SLOTS = 40;
const ROUNDS = 3;
const RUNS = [
  { slotMaker: "docker", parallel: 2 },
  { slotMaker: "docker", parallel: 4 },
  { slotMaker: "oci", parallel: 1 },
  { slotMaker: "oci", parallel: 2 },
  { slotMaker: "oci", parallel: 4 },
] as const satisfies Pick<PoolBounds, "slotMaker" | "parallel">[];

/** Fills the empty pool of a fresh node: slots a second, with either maker and so many made at once. */
export async function run({ n = SLOTS, progress }: Pick<BenchContext, "n" | "progress">): Promise<Report> {
  const results: Result[] = [];
  for (const { slotMaker, parallel } of RUNS) {
    const name = `refill.${slotMaker}.parallel-${parallel}`;
    const rates: number[] = [];
    let failed = 0;
    for (let round = 1; round <= ROUNDS; round++) {
      progress(`${name} ${round}/${ROUNDS}`);
      try {
        rates.push(await withFullPool({ slotMaker, parallel, slots: n }, ({ ms }) => (n * 1_000) / ms));
      } catch (error) {
        console.error(String(error));
        failed++;
      }
    }
    results.push(summarise(name, "1/s", rates, failed));
  }
  return report("refill", results, [
    ["refill.oci.parallel-2", "refill.docker.parallel-2"],
    ["refill.oci.parallel-4", "refill.docker.parallel-4"],
  ]);
}
