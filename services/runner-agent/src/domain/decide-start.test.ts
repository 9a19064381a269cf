import fc from "fast-check";
import { expect, it } from "vitest";
import { decideStart, type StartFacts } from "./decide-start.ts";

const ready: StartFacts = { nodeState: "ready", deletedEpoch: undefined, known: undefined, hasDisk: false, hasRoom: true };
const fresh = { epoch: 1, fresh: true };
const again = { epoch: 2, fresh: false };

it("starts a fresh sandbox, and a stopped one whose disk is here", () => {
  expect(decideStart(fresh, ready)).toEqual({ kind: "start", ends: false, clears: false });
  expect(decideStart(again, { ...ready, known: { epoch: 1, state: "stopped" }, hasDisk: true })).toEqual({
    kind: "start",
    ends: false,
    clears: false,
  });
});

it("answers a repeated start like the first", () => {
  expect(decideStart(fresh, { ...ready, known: { epoch: 1, state: "running" }, hasDisk: true, hasRoom: false })).toEqual({
    kind: "repeat",
  });
});

it("ends an older run before the next one starts", () => {
  expect(decideStart(again, { ...ready, known: { epoch: 1, state: "running" }, hasDisk: true })).toMatchObject({
    kind: "start",
    ends: true,
  });
});

it("clears what an unacknowledged start left", () => {
  expect(decideStart({ epoch: 2, fresh: true }, { ...ready, hasDisk: true })).toMatchObject({ kind: "start", clears: true });
});

it.each([
  ["deleted", fresh, { deletedEpoch: 1 }],
  ["stale_epoch", fresh, { known: { epoch: 2, state: "running" } }],
  ["stale_epoch", fresh, { known: { epoch: 1, state: "stopped" } }],
  ["no_disk", again, {}],
  ["capacity", fresh, { hasRoom: false }],
  ["leaving", fresh, { nodeState: "leaving" }],
  ["joining", fresh, { nodeState: "joining" }],
] as const)("refuses: %s", (reason, order, facts) => {
  expect(decideStart(order, { ...ready, ...facts } as StartFacts)).toEqual({ kind: "refuse", reason });
});

it("never starts an epoch that is over, whatever else holds", () => {
  const facts = fc.record({
    nodeState: fc.constantFrom("joining" as const, "ready" as const, "leaving" as const),
    deletedEpoch: fc.option(fc.integer({ min: 0, max: 5 }), { nil: undefined }),
    known: fc.option(fc.record({ epoch: fc.integer({ min: 0, max: 5 }), state: fc.constantFrom("running" as const, "stopped" as const) }), {
      nil: undefined,
    }),
    hasDisk: fc.boolean(),
    hasRoom: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 6 }), fc.boolean(), facts, (epoch, isFresh, given) => {
      if (decideStart({ epoch, fresh: isFresh }, given).kind !== "start") return;
      expect(given.deletedEpoch === undefined || epoch > given.deletedEpoch).toBe(true);
      expect(given.known === undefined || epoch > given.known.epoch).toBe(true);
    }),
  );
});
