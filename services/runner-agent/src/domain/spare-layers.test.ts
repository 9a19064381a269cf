import { expect, it } from "vitest";
import { spareLayers } from "./spare-layers.ts";

const bounds = { ageS: 3_600, diskShare: 0.8 };
const now = 100_000_000;
const layer = (digest: string, agoS: number) => ({ digest, lastUsedAt: now - agoS * 1_000 });
const layers = [layer("fresh", 10), layer("hour", 3_500), layer("old", 4_000), layer("older", 8_000)];

it("gives up what nobody has used for long, the oldest first", () => {
  expect(spareLayers(layers, new Set(), { now, usedShare: 0.1, bounds })).toEqual(["older", "old"]);
});

it("keeps what a sandbox stands on, whatever its age and however full the disk", () => {
  const used = new Set(layers.map(({ digest }) => digest));
  expect(spareLayers(layers, used, { now, usedShare: 1, bounds })).toEqual([]);
});

it("keeps all while it does not know what some sandbox stands on", () => {
  expect(spareLayers(layers, "unknown", { now, usedShare: 1, bounds })).toEqual([]);
});

it("gives up one more at a time on a full disk, but nothing that was used a moment ago", () => {
  expect(spareLayers([layer("fresh", 10), layer("hour", 3_500), layer("newer", 900)], new Set(), { now, usedShare: 0.9, bounds })).toEqual([
    "hour",
  ]);
  expect(spareLayers([layer("fresh", 10)], new Set(), { now, usedShare: 0.99, bounds })).toEqual([]);
});
