import { expect, it } from "vitest";
import { percentile, summarise } from "./stats.ts";

it("takes percentiles by nearest rank, without trimming", () => {
  const values = Array.from({ length: 100 }, (_, i) => i + 1);
  expect(percentile(values, 0.5)).toBe(50);
  expect(percentile(values, 0.99)).toBe(99);
  expect(percentile(values, 1)).toBe(100);
  expect(percentile([7], 0.99)).toBe(7);
});

it("counts failures apart from samples", () => {
  expect(summarise("x", "ms", [3, 1, 2], 4)).toMatchObject({ n: 3, p50: 2, p99: 3, min: 1, max: 3, mean: 2, failed: 4 });
});
