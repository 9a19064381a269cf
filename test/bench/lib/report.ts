import { writeFile } from "node:fs/promises";
import { cpus, release, totalmem } from "node:os";
import type { Result } from "./stats.ts";

export interface Target {
  result: string;
  percentile: "p50" | "p99";
  must?: number;
  aim?: number;
  /** Of what is better the more it is. */
  aimLeast?: number;
}

export interface Report {
  bench: string;
  results: Result[];
  /** Ratios of one result's p50 to another's, such as tti.warm to peer.docker-run. */
  ratios: Record<string, number>;
  machine: { cpus: number; memoryMb: number; kernel: string };
  at: string;
}

export function report(bench: string, results: Result[], ratios: [string, string][]): Report {
  const p50 = new Map(results.map((result) => [result.name, result.p50]));
  const entries = ratios.flatMap(([of, to]) => {
    const a = p50.get(of);
    const b = p50.get(to);
    return a === undefined || b === undefined || !(b > 0) ? [] : [[`${of} / ${to}`, Math.round((a / b) * 1000) / 1000] as const];
  });
  return {
    bench,
    results,
    ratios: Object.fromEntries(entries),
    machine: { cpus: cpus().length, memoryMb: Math.round(totalmem() / 2 ** 20), kernel: release() },
    at: new Date().toISOString(),
  };
}

export function print(made: Report, targets: readonly Target[]): void {
  const width = Math.max(...made.results.map((result) => result.name.length), 6);
  console.log(`\n${made.bench} on ${made.machine.cpus} cores, kernel ${made.machine.kernel}`);
  console.log(`${"result".padEnd(width)}      n failed          p50          p99          max`);
  for (const r of made.results) {
    const cells = [r.p50, r.p99, r.max].map((value) => `${value.toFixed(2)} ${r.unit}`.padStart(13)).join("");
    console.log(`${r.name.padEnd(width)} ${String(r.n).padStart(6)} ${String(r.failed).padStart(6)}${cells}`);
  }
  for (const [name, ratio] of Object.entries(made.ratios)) console.log(`ratio ${name} = ${ratio}`);
  for (const target of targets) console.log(verdict(made, target));
}

function verdict(made: Report, target: Target): string {
  const measured = made.results.find((result) => result.name === target.result)?.[target.percentile];
  const label = `${target.result} ${target.percentile}`;
  if (measured === undefined || Number.isNaN(measured)) return `target ${label}: not measured`;
  const against = (word: string, bound: number | undefined) =>
    bound === undefined ? [] : [`${word} <= ${bound}: ${measured <= bound ? "met" : "MISSED"}`];
  const least = target.aimLeast;
  const atLeast = least === undefined ? [] : [`aim >= ${least}: ${measured >= least ? "met" : "MISSED"}`];
  return `target ${label} = ${measured.toFixed(2)}; ${[...against("must", target.must), ...against("aim", target.aim), ...atLeast].join("; ")}`;
}

export async function save(made: Report, file: string): Promise<void> {
  await writeFile(file, `${JSON.stringify(made, null, 2)}\n`);
}
