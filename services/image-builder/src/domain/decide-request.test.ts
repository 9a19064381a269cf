import { expect, it } from "vitest";
import { decideRequest, FAILURE_STAYS_MS } from "./decide-request.ts";
import { estimateMs, sortOf } from "./estimate.ts";

const now = 1_000_000;
const asked = { force: false, now };

it("builds what nobody has built", () => {
  expect(decideRequest("building", null, asked)).toBe("build");
});

it("joins a build under way, and takes what is ready, forced or not", () => {
  for (const force of [true, false]) {
    expect(decideRequest("building", { state: "queued", endedAt: null }, { force, now })).toBe("join");
    expect(decideRequest("ready", { state: "ready", endedAt: 1 }, { force, now })).toBe("ready");
  }
});

it("lets a failure stand for a while, unless it is told to try", () => {
  const failed = (agoMs: number) => ({ state: "failed" as const, endedAt: now - agoMs });
  expect(decideRequest("failed", failed(FAILURE_STAYS_MS - 1), asked)).toBe("failed");
  expect(decideRequest("failed", failed(FAILURE_STAYS_MS), asked)).toBe("build");
  expect(decideRequest("failed", failed(0), { force: true, now })).toBe("build");
});

it("takes a cancelled build for no answer", () => {
  expect(decideRequest("failed", { state: "cancelled", endedAt: now }, asked)).toBe("build");
});

it("estimates by the step itself, else by its like, and not where nothing is known", () => {
  const times = { byKey: new Map([["k1", 500]]), bySort: new Map([["apt", 9_000]]) };
  expect(
    estimateMs(
      [
        { key: "k1", sort: "run" },
        { key: "k2", sort: sortOf("apt jq curl") },
      ],
      times,
    ),
  ).toBe(9_500);
  expect(estimateMs([{ key: "k3", sort: "pip" }], times)).toBeNull();
  expect(estimateMs([], times)).toBe(0);
});
