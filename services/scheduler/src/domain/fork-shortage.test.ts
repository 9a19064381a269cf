import { expect, it } from "vitest";
import { candidate } from "./fork.fixture.ts";
import { roomsOf } from "./fork-place.ts";
import { roomShortage } from "./fork-shortage.ts";

const rooms = (...cpus: number[]) =>
  roomsOf(
    cpus.map((cpu, i) => candidate(`${i}`, { capacity: { cpu, memoryMb: 1_000, diskMb: 1_000, sandboxes: 100 }, slotsFree: 0 })),
    () => 0,
    () => 4,
  );
const child = { cpu: 2, memoryMb: 10, diskMb: 10, sandboxes: 1 };

it("tells whether a fork waits for others to end, or for what no node has, or all of them together have not", () => {
  expect(roomShortage(rooms(8, 4), child, { count: 100, after: "stop" })).toBe("no_room");
  expect(roomShortage(rooms(8, 4), child, { count: 6, after: "keep" })).toBe("no_room");
  expect(roomShortage(rooms(8, 4), child, { count: 7, after: "keep" })).toBe("over_capacity");
  expect(roomShortage(rooms(1.5, 1.5), child, { count: 1, after: "stop" })).toBe("none_fits");
  expect(roomShortage([], child, { count: 7, after: "keep" })).toBe("no_room");
});
