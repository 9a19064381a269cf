import { expect, it } from "vitest";
import { candidate } from "./fork.fixture.ts";
import { allot, type Room, roomsOf, type Wish } from "./fork-place.ts";
import type { Candidate } from "./place.ts";

const wish = (more: Partial<Wish> = {}): Wish => ({
  amounts: { cpu: 1, memoryMb: 100, diskMb: 100, sandboxes: 1 },
  count: 10,
  spread: "auto",
  sourceNodeId: null,
  shipped: true,
  sourceShare: Number.MAX_SAFE_INTEGER,
  has: new Map(),
  avoided: new Set(),
  stores: [],
  ...more,
});
const rooms = (...nodes: Candidate[]): Room[] =>
  roomsOf(
    nodes,
    () => 0,
    () => 4,
  );
const given = (allotted: { nodeId: string; count: number }[]) => Object.fromEntries(allotted.map(({ nodeId, count }) => [nodeId, count]));

it("fills the source's node first, then where most slots are free", () => {
  const nodes = rooms(candidate("a", { slotsFree: 50 }), candidate("home", { slotsFree: 4 }), candidate("b", { slotsFree: 60 }));
  expect(given(allot(nodes, wish({ count: 100, sourceNodeId: "home" }), 500))).toEqual({ home: 20, b: 76, a: 4 });
});

it("packs few nodes, and spreads as even as can be", () => {
  const nodes = () =>
    rooms(candidate("a"), candidate("b"), candidate("c", { capacity: { cpu: 3, memoryMb: 1e6, diskMb: 1e6, sandboxes: 100 } }));
  expect(given(allot(nodes(), wish({ spread: "pack", count: 20 }), 500))).toEqual({ c: 3, a: 17 });
  expect(given(allot(nodes(), wish({ spread: "spread", count: 20 }), 500))).toEqual({ a: 9, b: 8, c: 3 });
  expect(given(allot(nodes(), wish({ spread: "spread", count: 4, has: new Map([["a", 5]]) }), 500))).toEqual({ b: 2, c: 2 });
});

it("never gives more than a node's capacity, its slots with a few beyond, and the messages it may have", () => {
  const small = candidate("a", { capacity: { cpu: 2.5, memoryMb: 1e6, diskMb: 1e6, sandboxes: 100 } });
  expect(given(allot(rooms(small), wish({ count: 10 }), 500))).toEqual({ a: 2 });
  expect(given(allot(rooms(candidate("a", { slotsFree: 3 })), wish({ count: 90 }), 500))).toEqual({ a: 19 });
  expect(given(allot(rooms(candidate("a")), wish({ count: 90 }), 10))).toEqual({ a: 40 });
});

it("takes out of the room what it gives", () => {
  const room = rooms(candidate("a", { slotsFree: 10 }));
  allot(room, wish({ count: 12 }), 500);
  expect(room[0]).toMatchObject({ slotsFree: 0, coldLeft: 14, batchesLeft: 3, used: { cpu: 12, sandboxes: 12 } });
});

it("leaves out nodes that refused lately, are cordoned, leaving or away, and, until it was shipped, all but the source's", () => {
  const nodes = () =>
    rooms(
      candidate("a"),
      candidate("b"),
      candidate("c", { cordoned: true }),
      candidate("d", { state: "leaving" }),
      candidate("e", { reachable: false }),
    );
  expect(given(allot(nodes(), wish({ avoided: new Set(["a"]) }), 500))).toEqual({ b: 10 });
  expect(given(allot(nodes(), wish({ sourceNodeId: "b", shipped: false }), 500))).toEqual({ b: 10 });
  expect(given(allot(nodes(), wish({ sourceNodeId: "b", shipped: false, spread: "spread", sourceShare: 4 }), 500))).toEqual({ b: 4 });
});
