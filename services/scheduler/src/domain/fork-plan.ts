import { LIMITS, type Quota } from "@banyan/contracts";
import type { Draft, LiveFork } from "./fork-live.ts";
import { type Allotment, allot, couldTake, type Room, roomFor, roomsOf, type Wish } from "./fork-place.ts";
import { roomShortage } from "./fork-shortage.ts";
import { NO_MOUNTS } from "./mounts.ts";
import { amountsOf, type Candidate, reaches } from "./place.ts";

/** What a round of planning looks at. */
export interface PlanView {
  now: number;
  nodes: readonly Candidate[];
  /** What the organisation holds now, reservations included. */
  usage(orgId: string): Quota;
}

/** What a round of planning does. */
export interface Planner {
  /** Has at most so many of the fork's waiting children sent to the node, fewer where their message would be too large. */
  batch(fork: LiveFork, nodeId: string, count: number): void;
  /** Other nodes are wanted. */
  ship(fork: LiveFork): void;
  told(fork: LiveFork, change: (draft: Draft) => void): void;
}

interface Sent {
  forkId: string;
  nodeId: string;
  children: readonly unknown[];
}

/** Messages that one node may have unanswered, that one fork may, and all. What is slow to start is not to keep others from it. */
const BATCHES_PER_NODE = 4;
const BATCHES_PER_FORK = 64;
const BATCHES_MAX = 256;
/** Children in one round: planning is one piece of work that nothing else comes between. */
const PLANNED_MAX = 10_000;

/**
 * Divides the room there is. Organisations have equal shares of it, and who has least under way is served first and until it has as much as the
 * others; the same among one organisation's forks. What nobody takes of its share is offered to all once more.
 */
export function planForks(forks: readonly LiveFork[], batches: Iterable<Sent>, view: PlanView, planner: Planner): void {
  const waiting = forks.filter((fork) => fork.waiting > 0 && fork.mounts !== null);
  if (waiting.length > 0) {
    const round = new Round(batches, view, planner);
    for (const share of [true, false]) round.serve(waiting, share);
  }
  for (const fork of forks) {
    if (fork.waiting === 0) setReason(planner, fork, null, fork.head.inWaves);
    // At the first try nobody has to know.
    else if (fork.mounts === null && fork.resolving.tries > 0) setReason(planner, fork, "volumes", fork.head.inWaves);
  }
}

class Round {
  readonly #view: PlanView;
  readonly #planner: Planner;
  readonly #rooms: Room[];
  /** Given in this round, by organisation: the usage does not know of it yet. */
  readonly #given = new Map<string, Quota>();
  readonly #sentOf = new Map<string, number>();
  #batchesLeft: number;
  #childrenLeft = PLANNED_MAX;

  constructor(batches: Iterable<Sent>, view: PlanView, planner: Planner) {
    this.#view = view;
    this.#planner = planner;
    const sent = new Map<string, { batches: number; children: number }>();
    let count = 0;
    for (const { forkId, nodeId, children } of batches) {
      this.#sentOf.set(forkId, (this.#sentOf.get(forkId) ?? 0) + 1);
      const there = sent.get(nodeId) ?? { batches: 0, children: 0 };
      sent.set(nodeId, { batches: there.batches + 1, children: there.children + children.length });
      count++;
    }
    this.#batchesLeft = Math.max(0, BATCHES_MAX - count);
    this.#rooms = roomsOf(
      view.nodes,
      (nodeId) => sent.get(nodeId)?.children ?? 0,
      (nodeId) => Math.max(0, BATCHES_PER_NODE - (sent.get(nodeId)?.batches ?? 0)),
    );
  }

  serve(forks: readonly LiveFork[], shared: boolean): void {
    const orgs = byOrganisation(forks.filter((fork) => fork.waiting > 0));
    const most = orgs.at(-1)?.inFlight ?? 0;
    orgs.forEach(({ forks: own, inFlight }, at) => {
      const mostOfOwn = own.at(-1)?.inFlight ?? 0;
      own.forEach((fork, ownAt) => {
        if (!shared) {
          this.#serveFork(fork, Number.MAX_SAFE_INTEGER, true);
          return;
        }
        const room = this.#roomOf(fork);
        const orgShare = Math.max(Math.ceil(room / (orgs.length - at)), most - inFlight);
        const share = Math.max(Math.ceil(orgShare / (own.length - ownAt)), Math.min(orgShare, mostOfOwn - fork.inFlight));
        this.#serveFork(fork, share, false);
      });
    });
  }

  /** `last`: what it does not get now it has to wait for, and is told why. */
  #serveFork(fork: LiveFork, share: number, last: boolean): void {
    const { maxParallel } = fork.row.spec;
    const parallel = maxParallel === null ? Number.MAX_SAFE_INTEGER : Math.max(0, maxParallel - fork.inFlight);
    const quota = this.#quotaRoom(fork);
    const paced = Math.min(this.#childrenLeft, this.#batchesOf(fork) * LIMITS.forkBatchMax);
    const wanted = Math.min(fork.waiting, parallel, quota);
    const wish = this.#wishOf(fork, Math.min(wanted, share, paced));
    if (wish.count > 0) this.#give(fork, allot(this.#rooms, wish, LIMITS.forkBatchMax));
    if (!last) return;
    const left = fork.waiting;
    if (left > 0 && !wish.shipped && this.#isWantedElsewhere(wish)) this.#planner.ship(fork);
    const reason = left === 0 ? null : this.#reasonOf(fork, quota, parallel, paced);
    const inWaves =
      fork.head.inWaves || (maxParallel ?? fork.row.spec.count) < fork.row.spec.count || (reason !== null && WAVES.has(reason));
    setReason(this.#planner, fork, reason, inWaves);
  }

  #give(fork: LiveFork, allotments: readonly Allotment[]): void {
    const { cpu, memoryMb } = fork.row.template.resources;
    for (const { nodeId, count } of allotments) {
      const before = fork.waiting;
      // Children with much of their own need more messages: for those beyond the bound there is the next round.
      while (this.#batchesOf(fork) > 0 && before - fork.waiting < count) {
        this.#planner.batch(fork, nodeId, count - (before - fork.waiting));
        this.#sentOf.set(fork.row.id, (this.#sentOf.get(fork.row.id) ?? 0) + 1);
        this.#batchesLeft--;
      }
      const given = before - fork.waiting;
      this.#childrenLeft -= given;
      const sum = this.#given.get(fork.row.orgId) ?? { sandboxes: 0, cpu: 0, memoryMb: 0 };
      this.#given.set(fork.row.orgId, {
        sandboxes: sum.sandboxes + given,
        cpu: sum.cpu + given * cpu,
        memoryMb: sum.memoryMb + given * memoryMb,
      });
    }
  }

  #batchesOf(fork: LiveFork): number {
    return Math.max(0, Math.min(this.#batchesLeft, BATCHES_PER_FORK - (this.#sentOf.get(fork.row.id) ?? 0)));
  }

  #wishOf(fork: LiveFork, count: number): Wish {
    const { row, head } = fork;
    const { stores } = fork.mounts ?? NO_MOUNTS;
    const avoided = new Set<string>();
    for (const [nodeId, { until }] of fork.coolOff) if (until > this.#view.now) avoided.add(nodeId);
    return {
      amounts: amountsOf(row.template.resources),
      count,
      spread: row.spec.spread,
      sourceNodeId: head.base?.nodeId ?? null,
      shipped: head.base !== null && head.base.shipped !== null,
      sourceShare:
        row.spec.spread === "spread"
          ? Math.ceil(row.spec.count / Math.max(1, this.#rooms.filter((room) => reaches(room, stores)).length))
          : Number.MAX_SAFE_INTEGER,
      has: fork.onNode,
      avoided,
      stores,
    };
  }

  #roomOf(fork: LiveFork): number {
    const wish = this.#wishOf(fork, 0);
    return this.#rooms.reduce((sum, room) => sum + roomFor(room, wish, LIMITS.forkBatchMax), 0);
  }

  #quotaRoom({ row }: LiveFork): number {
    const usage = this.#view.usage(row.orgId);
    const given = this.#given.get(row.orgId) ?? { sandboxes: 0, cpu: 0, memoryMb: 0 };
    const { cpu, memoryMb } = row.template.resources;
    const asked = { sandboxes: 1, cpu, memoryMb };
    let room = Number.MAX_SAFE_INTEGER;
    for (const key of ["sandboxes", "cpu", "memoryMb"] as const) {
      if (asked[key] > 0) room = Math.min(room, Math.floor((row.quota[key] - usage[key] - given[key]) / asked[key] + ROUNDING));
    }
    return Math.max(0, room);
  }

  #isWantedElsewhere(wish: Wish): boolean {
    return this.#rooms.some((room) => room.nodeId !== wish.sourceNodeId && couldTake(room, wish));
  }

  /** Null: nothing that anyone has to know, it goes on at once or as others finish. */
  #reasonOf(fork: LiveFork, quota: number, parallel: number, paced: number): string | null {
    if (parallel === 0) return null;
    if (quota === 0) return "quota";
    const wish = this.#wishOf(fork, 1);
    if (this.#rooms.length > 0 && !this.#rooms.some((room) => reaches(room, wish.stores))) return "volumes";
    if (paced === 0 || this.#rooms.some((room) => room.batchesLeft <= 0 && room.slotsFree > 0 && couldTake(room, wish))) {
      return fork.head.stateReason;
    }
    if (!wish.shipped && this.#isWantedElsewhere(wish)) return "shipping";
    const rooms = this.#rooms.filter((room) => reaches(room, wish.stores));
    return roomShortage(rooms, wish.amounts, fork.row.spec);
  }
}

interface Organisation {
  forks: LiveFork[];
  inFlight: number;
}

/** Those with least under way first. */
function byOrganisation(forks: readonly LiveFork[]): Organisation[] {
  const byId = new Map<string, Organisation>();
  for (const fork of forks) {
    const org = byId.get(fork.row.orgId) ?? { forks: [], inFlight: 0 };
    org.forks.push(fork);
    org.inFlight += fork.inFlight;
    byId.set(fork.row.orgId, org);
  }
  const orgs = [...byId.values()].toSorted((a, b) => a.inFlight - b.inFlight);
  for (const org of orgs) org.forks.sort((a, b) => a.inFlight - b.inFlight);
  return orgs;
}

function setReason(planner: Planner, fork: LiveFork, reason: string | null, inWaves: boolean): void {
  const { head } = fork;
  // What is not a reason to wait is not planning's to take back.
  if (head.stateReason !== null && !WAITS.has(head.stateReason)) return;
  if (head.stateReason === reason && head.inWaves === inWaves) return;
  planner.told(fork, (draft) => {
    draft.stateTold = head.stateReason !== reason;
    draft.headChanged = true;
    Object.assign(head, { stateReason: reason, inWaves });
  });
}

/** Some run, or will, before the rest. */
const WAVES: ReadonlySet<string> = new Set(["no_room", "over_capacity", "quota"]);
const WAITS: ReadonlySet<string> = new Set(["no_room", "none_fits", "over_capacity", "quota", "shipping", "volumes"]);

/** Sums of fractions of cores are not exact. */
const ROUNDING = 1e-6;
