import fc from "fast-check";
import { expect, it } from "vitest";
import { type Amounts, type Candidate, layerKey, place } from "./place.ts";

const ROOM: Amounts = { cpu: 8, memoryMb: 8_192, diskMb: 100_000, sandboxes: 10 };
const NOTHING: Amounts = { cpu: 0, memoryMb: 0, diskMb: 0, sandboxes: 0 };
const SMALL: Amounts = { cpu: 1, memoryMb: 1_024, diskMb: 1_024, sandboxes: 1 };

const node = (changes: Partial<Candidate> = {}): Candidate => ({
  nodeId: "a",
  reachable: true,
  state: "ready",
  cordoned: false,
  capacity: ROOM,
  used: NOTHING,
  slotsFree: 4,
  waiting: 0,
  layers: new Set(),
  stores: new Set(),
  ...changes,
});

it("passes over nodes that do not answer, take nothing, or were tried", () => {
  const nodes = [
    node({ nodeId: "gone", reachable: false }),
    node({ nodeId: "leaving", state: "leaving" }),
    node({ nodeId: "joining", state: "joining" }),
    node({ nodeId: "cordoned", cordoned: true }),
    node({ nodeId: "tried" }),
    node({ nodeId: "good" }),
  ];
  expect(place(nodes, { amounts: SMALL, excluded: new Set(["tried"]) }, Math.random)).toEqual({
    kind: "placed",
    nodeId: "good",
    elsewhere: false,
  });
});

it("prefers a free slot to a queue", () => {
  const nodes = [node({ nodeId: "empty", slotsFree: 0 }), node({ nodeId: "free", slotsFree: 1 })];
  for (let i = 0; i < 50; i++) expect(place(nodes, { amounts: SMALL }, Math.random)).toMatchObject({ nodeId: "free" });
});

it("takes the shorter queue where no slot is free", () => {
  const nodes = [node({ nodeId: "long", slotsFree: 0, waiting: 9 }), node({ nodeId: "short", slotsFree: 0, waiting: 1 })];
  for (let i = 0; i < 50; i++)
    expect(place(nodes, { amounts: SMALL }, Math.random)).toEqual({ kind: "placed", nodeId: "short", elsewhere: false });
});

it("prefers a node that has every layer, but not to a free slot", () => {
  const layers = ["base", "own"];
  const nodes = [
    node({ nodeId: "emptier", slotsFree: 9, layers: new Set(["base"]) }),
    node({ nodeId: "has-all", slotsFree: 1, layers: new Set(["own", "other", "base"]) }),
  ];
  const placed = () => place(nodes, { amounts: SMALL, layers }, Math.random);
  for (let i = 0; i < 50; i++) expect(placed()).toEqual({ kind: "placed", nodeId: "has-all", elsewhere: true });
  nodes[1] = node({ nodeId: "has-all", slotsFree: 0, layers: new Set(layers) });
  for (let i = 0; i < 50; i++) expect(placed()).toMatchObject({ nodeId: "emptier" });
});

it("names a layer as a heartbeat does, and never a frozen one", () => {
  expect(layerKey({ digest: `sha256:${"0123456789abcdef".repeat(4)}` })).toBe("0123456789abcdef");
  expect(layerKey({ digest: "frozen:frz_0123456789abcdefghjkmnpqrs" })).not.toMatch(/^[0-9a-f]{16}$/);
});

it("tells never from not now", () => {
  expect(place([], { amounts: SMALL }, Math.random)).toMatchObject({ kind: "none_available" });
  expect(place([node()], { amounts: { ...SMALL, cpu: 9 } }, Math.random)).toEqual({ kind: "none_fits" });
  expect(place([node({ used: { ...NOTHING, cpu: 7.5 } })], { amounts: SMALL }, Math.random)).toMatchObject({ kind: "none_available" });
  expect(place([node({ reachable: false })], { amounts: SMALL }, Math.random)).toMatchObject({ kind: "none_available" });
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
      cordoned: fc.boolean(),
      slotsFree: fc.nat(5),
      waiting: fc.nat(5),
      layers: fc.subarray(["a", "b", "c"]).map((layers) => new Set(layers)),
      stores: fc.subarray(["x", "y"]).map((stores) => new Set(stores)),
    }),
    { maxLength: 12 },
  )
  .map((nodes) => nodes.map((one, i) => ({ nodeId: `n${i}`, ...one })));

it("never promises more than a node has, and refuses only when none has room", () => {
  const chances = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
  fc.assert(
    fc.property(
      candidates,
      amounts,
      fc.subarray(["a", "b", "c"]),
      fc.subarray(["x", "y"]),
      chances,
      (nodes, asked, layers, stores, chance) => {
        const fits = ({ capacity, used, reachable, state, cordoned, stores: reached }: Candidate): boolean =>
          stores.every((store) => reached.has(store)) &&
          reachable &&
          state === "ready" &&
          !cordoned &&
          (Object.keys(asked) as (keyof Amounts)[]).every((key) => used[key] + asked[key] <= capacity[key]);
        const placement = place(nodes, { amounts: asked, layers, stores }, () => chance);
        const chosen = placement.kind === "placed" ? nodes.find(({ nodeId }) => nodeId === placement.nodeId) : undefined;
        expect(chosen === undefined ? nodes.some(fits) : !fits(chosen)).toBe(false);
        if (chosen === undefined) return;
        const near = nodes.filter((one) => fits(one) && one.slotsFree > 0 && layers.every((layer) => one.layers.has(layer)));
        expect(near.length === 0 || near.includes(chosen), "a free slot where all layers are").toBe(true);
        expect(chosen.slotsFree > 0 || !nodes.some((one) => fits(one) && one.slotsFree > 0), "a free slot before none").toBe(true);
      },
    ),
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
          const placement = place(nodes, { amounts: { ...SMALL, memoryMb: 0, diskMb: 0 } }, () => chances.next().value);
          const chosen = placement.kind === "placed" ? nodes.find(({ nodeId }) => nodeId === placement.nodeId) : undefined;
          if (chosen === undefined) throw new Error(`refused after ${placed} of ${total}`);
          chosen.used = { ...chosen.used, cpu: chosen.used.cpu + 1, sandboxes: chosen.used.sandboxes + 1 };
          expect(chosen.used.cpu).toBeLessThanOrEqual(chosen.capacity.cpu);
        }
        expect(place(nodes, { amounts: SMALL }, Math.random).kind).toBe("none_available");
      },
    ),
    { numRuns: 50 },
  );
});

it("sends a burst to many nodes although every view is the same", () => {
  const nodes = Array.from({ length: 10 }, (_, i) => node({ nodeId: `n${i}` }));
  const chosen = new Set<string>();
  for (let i = 0; i < 200; i++) {
    const placement = place(nodes, { amounts: SMALL }, Math.random);
    if (placement.kind === "placed") chosen.add(placement.nodeId);
  }
  expect(chosen.size).toBeGreaterThan(5);
});

it("places volumes only where all of their stores are reached", () => {
  const nodes = [
    node({ nodeId: "none", slotsFree: 9 }),
    node({ nodeId: "one", slotsFree: 9, stores: new Set(["home"]) }),
    node({ nodeId: "both", slotsFree: 0, waiting: 9, stores: new Set(["home", "object"]) }),
  ];
  for (let i = 0; i < 50; i++)
    expect(place(nodes, { amounts: SMALL, stores: ["home", "object"] }, Math.random)).toMatchObject({ kind: "placed", nodeId: "both" });
});

it("tells stores that nobody reaches from nodes that have no room", () => {
  const [home, object] = [node({ nodeId: "a", stores: new Set(["home"]) }), node({ nodeId: "b", stores: new Set(["object"]) })];
  const placed = (stores: string[], nodes: Candidate[] = [home, object], amounts = SMALL) => place(nodes, { amounts, stores }, Math.random);
  expect(placed(["home", "elsewhere"])).toEqual({ kind: "out_of_reach", stores: ["elsewhere"] });
  expect(placed(["home", "object"])).toEqual({ kind: "out_of_reach", stores: ["home", "object"] });
  const full = { ...home, used: ROOM };
  expect(placed(["home"], [full, object])).toMatchObject({ kind: "none_available" });
  // What no node could hold is not for want of a store.
  expect(placed(["home"], [home, object], { ...SMALL, cpu: 9 })).toEqual({ kind: "none_fits" });
  // A node that does not answer may have it: nobody can tell.
  expect(placed(["home"], [{ ...home, reachable: false }])).toMatchObject({ kind: "none_available" });
  expect(placed(["home"], [{ ...home, reachable: false }, object])).toEqual({ kind: "out_of_reach", stores: ["home"] });
  expect(placed(["home"], [])).toMatchObject({ kind: "none_available" });
});
