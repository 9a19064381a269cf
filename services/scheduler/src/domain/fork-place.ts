import type { ForkSpec } from "@banyan/contracts";
import { type Amounts, type Candidate, isAvailable, reaches } from "./place.ts";

/** Children sent to a node beyond its free slots, while nothing else of ours starts there: enough to keep its slot maker busy, too few to wait long. */
const COLD_MAX = 16;

/** A node in one round of planning: its room shrinks as children are given to it. */
export interface Room {
  nodeId: string;
  capacity: Amounts;
  used: Amounts;
  slotsFree: number;
  /** Starts beyond its free slots that it may be given now. */
  coldLeft: number;
  /** Messages that may still be sent to it now. */
  batchesLeft: number;
  stores: ReadonlySet<string>;
}

/** What one fork asks for. */
export interface Wish {
  amounts: Amounts;
  /** Children that are to start now. */
  count: number;
  spread: ForkSpec["spread"];
  /** Has the files without fetching them. */
  sourceNodeId: string | null;
  /** False: only the source's node can start children yet. */
  shipped: boolean;
  /** At most so many in all on the source's node; while it stands alone, the others' share is kept for them. */
  sourceShare: number;
  /** Children of the fork that each node has. */
  has: ReadonlyMap<string, number>;
  /** Nodes that refused it lately. */
  avoided: ReadonlySet<string>;
  /** Each has to be reached: the volumes of its children lie there. */
  stores: readonly string[];
}

export interface Allotment {
  nodeId: string;
  count: number;
}

/** The nodes that take sandboxes, as rooms. `startingOn`: children of forks that are starting there already. */
export function roomsOf(
  nodes: readonly Candidate[],
  startingOn: (nodeId: string) => number,
  batchesLeft: (nodeId: string) => number,
): Room[] {
  return nodes.filter(isAvailable).map((node) => ({
    nodeId: node.nodeId,
    capacity: node.capacity,
    used: { ...node.used },
    slotsFree: node.slotsFree,
    coldLeft: startingOn(node.nodeId) > 0 ? 0 : Math.max(0, COLD_MAX - node.waiting),
    batchesLeft: batchesLeft(node.nodeId),
    stores: node.stores,
  }));
}

/** How many such sandboxes fit into the room's capacity. */
export function fitting({ capacity, used }: Room, amounts: Amounts): number {
  let count = Number.MAX_SAFE_INTEGER;
  for (const key of ["cpu", "memoryMb", "diskMb", "sandboxes"] as const) {
    if (amounts[key] > 0) count = Math.min(count, Math.floor((capacity[key] - used[key]) / amounts[key] + ROUNDING));
  }
  return Math.max(0, count);
}
/** Sums of fractions of cores are not exact. */
const ROUNDING = 1e-6;

/** With volumes and size such as these, now or later. */
export const couldTake = (room: Room, wish: Wish): boolean => reaches(room, wish.stores) && fitting(room, wish.amounts) > 0;

/** How many of these a room can take now. */
export function roomFor(room: Room, wish: Wish, batchMax: number): number {
  if (wish.avoided.has(room.nodeId) || room.batchesLeft <= 0 || !reaches(room, wish.stores)) return 0;
  const isSource = room.nodeId === wish.sourceNodeId;
  if (!wish.shipped && !isSource) return 0;
  const startable = wish.spread === "pack" ? Number.MAX_SAFE_INTEGER : room.slotsFree + room.coldLeft;
  const share = wish.shipped || !isSource ? Number.MAX_SAFE_INTEGER : wish.sourceShare - (wish.has.get(room.nodeId) ?? 0);
  return Math.max(0, Math.min(fitting(room, wish.amounts), startable, share, room.batchesLeft * batchMax));
}

/** Divides the wish among the rooms and takes it out of them. Answers what each node gets, in the order in which it is to be sent. */
export function allot(rooms: readonly Room[], wish: Wish, batchMax: number): Allotment[] {
  const able = rooms.map((room) => ({ room, max: roomFor(room, wish, batchMax), given: 0 })).filter(({ max }) => max > 0);
  able.sort((a, b) => rankOf(b.room, wish) - rankOf(a.room, wish));
  if (wish.spread === "spread") level(able, wish);
  else fill(able, wish.count);
  const allotted = able.filter(({ given }) => given > 0);
  for (const { room, given } of allotted) take(room, wish.amounts, given, batchMax);
  return allotted.map(({ room, given }) => ({ nodeId: room.nodeId, count: given }));
}

interface Able {
  room: Room;
  max: number;
  given: number;
}

/** The source's node first; then where most slots are free; to pack, where least room is left. */
function rankOf(room: Room, wish: Wish): number {
  if (room.nodeId === wish.sourceNodeId && wish.spread !== "spread") return Number.MAX_SAFE_INTEGER;
  return wish.spread === "pack" ? -fitting(room, wish.amounts) : room.slotsFree;
}

function fill(able: readonly Able[], count: number): void {
  let left = count;
  for (const one of able) {
    one.given = Math.min(one.max, left);
    left -= one.given;
  }
}

/** Whoever has least of the fork gets the next, a whole layer at a time. */
function level(able: readonly Able[], { count, has }: Wish): void {
  const heightOf = (one: Able): number => (has.get(one.room.nodeId) ?? 0) + one.given;
  let left = count;
  // Each turn fills a node up or raises all the lowest by a layer: at most two turns a node.
  for (let turn = 0; left > 0 && turn < 2 * able.length + 1; turn++) {
    const open = able.filter((one) => one.given < one.max);
    if (open.length === 0) return;
    const lowest = Math.min(...open.map(heightOf));
    const low = open.filter((one) => heightOf(one) === lowest);
    const higher = open.filter((one) => heightOf(one) > lowest).map(heightOf);
    const gap = higher.length > 0 ? Math.min(...higher) - lowest : Number.MAX_SAFE_INTEGER;
    const layer = Math.max(1, Math.min(gap, Math.floor(left / low.length), ...low.map((one) => one.max - one.given)));
    for (const one of low) {
      const given = Math.min(layer, left);
      one.given += given;
      left -= given;
    }
  }
}

function take(room: Room, amounts: Amounts, count: number, batchMax: number): void {
  const warm = Math.min(room.slotsFree, count);
  room.slotsFree -= warm;
  room.coldLeft = Math.max(0, room.coldLeft - (count - warm));
  room.batchesLeft -= Math.ceil(count / batchMax);
  for (const key of ["cpu", "memoryMb", "diskMb", "sandboxes"] as const) room.used[key] += amounts[key] * count;
}
