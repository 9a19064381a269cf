import fc from "fast-check";
import { expect, it } from "vitest";
import { type Amounts, type Candidate, place } from "./place.ts";

const ROOM: Amounts = { cpu: 8, memoryMb: 8_192, diskMb: 100_000, sandboxes: 10 };
const NOTHING: Amounts = { cpu: 0, memoryMb: 0, diskMb: 0, sandboxes: 0 };
const SMALL: Amounts = { cpu: 1, memoryMb: 1_024, diskMb: 1_024, sandboxes: 1 };
const nobody: ReadonlySet<string> = new Set();

const node = (changes: Partial<Candidate> = {}): Candidate => ({
  nodeId: "a",
  reachable: true,
  state: "ready",
  capacity: ROOM,
  used: NOTHING,
  slotsFree: 4,
  waiting: 0,
  ...changes,
});

it("passes over nodes that do not answer, take nothing, or were tried", () => {
  const nodes = [
    node({ nodeId: "gone", reachable: false }),
    node({ nodeId: "leaving", state: "leaving" }),
    node({ nodeId: "joining", state: "joining" }),
    node({ nodeId: "tried" }),
    node({ nodeId: "good" }),
  ];
  expect(place(nodes, SMALL, new Set(["tried"]), Math.random)).toEqual({ kind: "placed", nodeId: "good", elsewhere: false });
});

it("prefers a free slot to a queue", () => {
  const nodes = [node({ nodeId: "empty", slotsFree: 0 }), node({ nodeId: "free", slotsFree: 1 })];
  for (let i = 0; i < 50; i++) expect(place(nodes, SMALL, nobody, Math.random)).toMatchObject({ nodeId: "free" });
});

it("takes the shorter queue where no slot is free", () => {
  const nodes = [node({ nodeId: "long", slotsFree: 0, waiting: 9 }), node({ nodeId: "short", slotsFree: 0, waiting: 1 })];
  for (let i = 0; i < 50; i++)
    expect(place(nodes, SMALL, nobody, Math.random)).toEqual({ kind: "placed", nodeId: "short", elsewhere: false });
});

it("tells never from not now", () => {
  expect(place([], SMALL, nobody, Math.random)).toMatchObject({ kind: "none_available" });
  expect(place([node()], { ...SMALL, cpu: 9 }, nobody, Math.random)).toEqual({ kind: "none_fits" });
  expect(place([node({ used: { ...NOTHING, cpu: 7.5 } })], SMALL, nobody, Math.random)).toMatchObject({ kind: "none_available" });
  expect(place([node({ reachable: false })], SMALL, nobody, Math.random)).toMatchObject({ kind: "none_available" });
});

const amounts = fc.record({
  cpu: fc.integer({ min: 0, max: 16 }),
  memoryMb: fc.nat(16_384),
  diskMb: fc.nat(200_000),
  sandboxes: fc.nat(20),
});
const candidates = fc
  .array(
    fc.record({
      reachable: fc.boolean(),
      state: fc.constantFrom("ready" as const, "joining" as const, "leaving" as const),
      capacity: amounts,
      used: amounts,
      slotsFree: fc.nat(5),
      waiting: fc.nat(5),
    }),
    { maxLength: 12 },
  )
  .map((nodes) => nodes.map((one, i) => ({ nodeId: `n${i}`, ...one })));

it("never promises more than a node has, and refuses only when none has room", () => {
  fc.assert(
    fc.property(candidates, amounts, fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), (nodes, asked, chance) => {
      const fits = ({ capacity, used, reachable, state }: Candidate): boolean =>
        reachable && state === "ready" && (Object.keys(asked) as (keyof Amounts)[]).every((key) => used[key] + asked[key] <= capacity[key]);
      const placement = place(nodes, asked, nobody, () => chance);
      const chosen = placement.kind === "placed" ? nodes.find(({ nodeId }) => nodeId === placement.nodeId) : undefined;
      expect(chosen === undefined ? nodes.some(fits) : !fits(chosen)).toBe(false);
    }),
  );
});

it("fills a cluster to its last place and not beyond", () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 1, max: 8 }), { minLength: 1, maxLength: 6 }),
      fc.infiniteStream(fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })),
      (cores, chances) => {
        const nodes = cores.map((cpu, i) => node({ nodeId: `n${i}`, capacity: { ...ROOM, cpu }, used: { ...NOTHING } }));
        const total = cores.reduce((sum, cpu) => sum + cpu, 0);
        for (let placed = 0; placed < total; placed++) {
          const placement = place(nodes, { ...SMALL, memoryMb: 0, diskMb: 0 }, nobody, () => chances.next().value);
          const chosen = placement.kind === "placed" ? nodes.find(({ nodeId }) => nodeId === placement.nodeId) : undefined;
          if (chosen === undefined) throw new Error(`refused after ${placed} of ${total}`);
          chosen.used = { ...chosen.used, cpu: chosen.used.cpu + 1, sandboxes: chosen.used.sandboxes + 1 };
          expect(chosen.used.cpu).toBeLessThanOrEqual(chosen.capacity.cpu);
        }
        expect(place(nodes, SMALL, nobody, Math.random).kind).toBe("none_available");
      },
    ),
    { numRuns: 50 },
  );
});

it("sends a burst to many nodes although every view is the same", () => {
  const nodes = Array.from({ length: 10 }, (_, i) => node({ nodeId: `n${i}` }));
  const chosen = new Set<string>();
  for (let i = 0; i < 200; i++) {
    const placement = place(nodes, SMALL, nobody, Math.random);
    if (placement.kind === "placed") chosen.add(placement.nodeId);
  }
  expect(chosen.size).toBeGreaterThan(5);
});
