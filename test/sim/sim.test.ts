import { expect, it } from "vitest";
import type { NodeHabits } from "./node.ts";
import { type SimulateOptions, simulate } from "./simulate.ts";

/** `SIM_SEED=7` runs that one alone and says what happens in it; `SIM_SEEDS=5000` that many, from `SIM_FROM` on. */
const { SIM_SEED, SIM_SEEDS = "600", SIM_FROM = "1" } = process.env;
const seedsFrom = (from: number, count: number): number[] => Array.from({ length: count }, (_, i) => from + i);
const TIMEOUT_MS = 600_000;
const SEEDS_BROKEN = 40;

it("keeps its promises, whatever goes wrong", { timeout: TIMEOUT_MS }, () => {
  if (SIM_SEED !== undefined) return void simulate(Number(SIM_SEED), { say: (line) => console.log(line) });
  const outcomes = seedsFrom(Number(SIM_FROM), Number(SIM_SEEDS)).map((seed) => simulate(seed));
  const ends = new Set(outcomes.flatMap(({ ends }) => Object.keys(ends)));
  // Else too little went wrong for the promises to mean anything.
  expect([...ends]).toEqual(expect.arrayContaining(["cancelled", "done"]));
  expect(outcomes.some(({ crashes }) => crashes > 1)).toBe(true);
});

it("does the same again with the same seed", () => {
  expect(simulate(7)).toEqual(simulate(7));
});

/** Proof that what is broken is found, and within few seeds. */
const runAll = (bend: NonNullable<SimulateOptions["bend"]>) => () => {
  for (const seed of seedsFrom(1, SEEDS_BROKEN)) simulate(seed, { bend });
};
const withNodes = (fault: Partial<NodeHabits>) =>
  runAll(({ nodes }) => {
    for (const node of nodes) Object.assign(node, fault);
  });

it("finds a node that starts a child twice", () => {
  expect(withNodes({ startsTwice: true })).toThrow(/is started twice/);
});

it("finds a node that starts what it has refused", () => {
  const fails = runAll(({ nodes, weather }) => {
    Object.assign(weather, { doubled: 0.5 });
    for (const node of nodes) Object.assign(node, { forgetsRefused: true, refuses: 0.5 });
  });
  expect(fails).toThrow(/ran \d+ times, and was lost/);
});

it("finds a node that keeps what it says it has deleted", () => {
  expect(withNodes({ keepsDeleted: true })).toThrow(/holds sbx_/);
});

it("finds a node that starts a child without its store", () => {
  const fails = runAll((scenario) => {
    // Stores that come and go while what nodes say is late.
    Object.assign(scenario, { strikeEveryMs: 1_000, weather: { dropped: 0, doubled: 0, delayMsMax: 5_000 } });
    for (const node of scenario.nodes) Object.assign(node, { mountsBlindly: true, reachesStore: true });
  });
  expect(fails).toThrow(/without its store/);
});

it("finds a report that is acknowledged before it is written", () => {
  const fails = runAll((scenario) => {
    // A slow database, a scheduler that is often killed, and children that nothing but their report tells of.
    Object.assign(scenario, { acksEarly: true, writeMsMax: 5_000, strikeEveryMs: 3_000 });
    for (const { row } of scenario.forks) {
      Object.assign(row.spec, { after: "keep", policy: { kind: "all" } });
      row.deadlineAt = row.createdAt + 300_000;
    }
  });
  expect(fails).toThrow(/though its command ended/);
});
