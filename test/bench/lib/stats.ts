import { assert } from "@banyan/kernel";

/** One line of a bench's JSON file. Percentiles are of all samples: nothing is trimmed, failures are counted apart. */
export interface Result {
  name: string;
  unit: "ms" | "us" | "MB" | "%" | "1/s" | "MB/s" | "x";
  n: number;
  p50: number;
  p99: number;
  min: number;
  max: number;
  mean: number;
  failed: number;
}

/** Nearest-rank percentile of sorted values. */
export function percentile(sorted: readonly number[], share: number): number {
  assert(sorted.length > 0, "percentile of nothing");
  const rank = Math.max(1, Math.ceil(share * sorted.length));
  return sorted[rank - 1] ?? Number.NaN;
}

export function summarise(name: string, unit: Result["unit"], samples: readonly number[], failed = 0): Result {
  if (samples.length === 0)
    return { name, unit, n: 0, p50: Number.NaN, p99: Number.NaN, min: Number.NaN, max: Number.NaN, mean: Number.NaN, failed };
  const sorted = samples.toSorted((a, b) => a - b);
  return {
    name,
    unit,
    n: sorted.length,
    p50: round(percentile(sorted, 0.5)),
    p99: round(percentile(sorted, 0.99)),
    min: round(sorted[0] ?? Number.NaN),
    max: round(sorted.at(-1) ?? Number.NaN),
    mean: round(sorted.reduce((sum, value) => sum + value, 0) / sorted.length),
    failed,
  };
}

const round = (value: number): number => Math.round(value * 1000) / 1000;
