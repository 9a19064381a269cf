import { expect, it } from "vitest";
import { backoffMs, type RefillBounds, RefillPace, restMs, slotsWanted } from "./refill.ts";

const bounds: RefillBounds = { target: 8, parallel: 4, perS: 10, slotsMax: 20, quietMs: 0 };
const idle = { free: 0, starting: 0, taken: 0, waiting: 0 };

it("makes what is missing, at most so many at once", () => {
  expect(slotsWanted(bounds, idle)).toBe(4);
  expect(slotsWanted(bounds, { ...idle, free: 6, starting: 1 })).toBe(1);
  expect(slotsWanted(bounds, { ...idle, free: 8 })).toBe(0);
});

it("makes one for each who waits, beyond the target", () => {
  expect(slotsWanted(bounds, { ...idle, free: 6, waiting: 2 })).toBe(4);
});

it("never makes more than may exist in all", () => {
  expect(slotsWanted(bounds, { ...idle, taken: 19 })).toBe(1);
  expect(slotsWanted(bounds, { ...idle, taken: 20, waiting: 5 })).toBe(0);
});

it("leaves a failing engine alone for longer and longer, but not for ever", () => {
  expect([0, 1, 2, 3].map(backoffMs)).toEqual([0, 250, 500, 1_000]);
  expect(backoffMs(50)).toBe(30_000);
});

it("says how long it takes until those in front have their slots", () => {
  const pace = new RefillPace();
  for (let i = 0; i < 100; i++) pace.record(800);
  // Four at once, 800 ms each: five a second.
  expect(pace.ratePerS(bounds)).toBeCloseTo(5);
  expect(pace.retryAfterMs(bounds, 9)).toBeCloseTo(2_000, -1);
  expect(pace.retryAfterMs(bounds, 100_000)).toBe(30_000);
  expect(pace.retryAfterMs({ ...bounds, perS: 1 }, 1)).toBe(2_000);
});

it("leaves the machine to claims for a while, but not when the pool is low or someone waits", () => {
  const calm = { ...bounds, quietMs: 200 };
  expect(restMs(calm, { free: 8, waiting: 0 }, 50)).toBe(150);
  expect(restMs(calm, { free: 8, waiting: 0 }, 500)).toBe(0);
  expect(restMs(calm, { free: 2, waiting: 0 }, 50)).toBe(0);
  expect(restMs(calm, { free: 8, waiting: 1 }, 50)).toBe(0);
});
