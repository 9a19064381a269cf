import type { ForkSpec } from "@banyan/contracts";
import { fitting, type Room } from "./fork-place.ts";
import type { Amounts } from "./place.ts";

/**
 * What a fork waits for that finds no room: that others end (`no_room`), or that the cluster or the fork becomes another one, because no node can
 * hold one such child (`none_fits`), or all of them together cannot hold those that are to stay (`over_capacity`).
 */
export type RoomShortage = "no_room" | "none_fits" | "over_capacity";

export function roomShortage(rooms: readonly Room[], amounts: Amounts, { count, after }: Pick<ForkSpec, "count" | "after">): RoomShortage {
  // Where there is no node at all, one that comes may be of any size.
  if (rooms.length === 0) return "no_room";
  const held = rooms.reduce((sum, room) => sum + fitting({ ...room, used: NOTHING }, amounts), 0);
  if (held === 0) return "none_fits";
  return after === "keep" && held < count ? "over_capacity" : "no_room";
}

const NOTHING: Amounts = { cpu: 0, memoryMb: 0, diskMb: 0, sandboxes: 0 };
