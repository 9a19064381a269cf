import { NODE_HEARTBEAT_MS, NODE_LEASE_MS, type NodeHeartbeat, type NodeView } from "@banyan/contracts";
import type { Clock } from "@banyan/kernel";
import type { Candidate } from "../domain/place.ts";
import type { Ledger } from "./ledger.ts";

/** What the operator wants of a node, until said otherwise. A node that is drained is cordoned too. */
export interface NodeWish {
  cordoned: boolean;
  draining: NodeView["draining"];
}
const NO_WISH: NodeWish = { cordoned: false, draining: null };

/** A node that has missed this many heartbeats may be gone without a word: others with a free slot are asked before it. */
const SUSPECT_AFTER_MS = 3 * NODE_HEARTBEAT_MS;
/** A node that is not coming back is listed so long. */
const FORGET_AFTER_MS = 24 * 3_600_000;

interface Known {
  beat: NodeHeartbeat;
  layers: ReadonlySet<string>;
  stores: ReadonlySet<string>;
  /** Monotonic: a step of the wall clock must not make nodes vanish. */
  seenMs: number;
  reachable: boolean;
  /** Wall clock; when it came back after an absence, 0 if it was never away. */
  reachableSince: number;
  startsUnderWay: number;
  /** Since its last heartbeat, which may not know of them. */
  startsSettled: number;
}

/** The nodes as this process sees them: their last heartbeat, whether the lease holds, and what has been sent there since. */
export class Nodes {
  readonly #known = new Map<string, Known>();
  readonly #ledger: Ledger;
  readonly #clock: Clock;
  readonly #joined = new Set<(nodeId: string) => void>();
  /** What the operator wants of a node, by its id, known here or not. */
  readonly #wishes = new Map<string, NodeWish>();
  /** When each node that has never been seen here was first asked about. */
  readonly #missingMs = new Map<string, number>();

  constructor(ledger: Ledger, clock: Clock) {
    this.#ledger = ledger;
    this.#clock = clock;
  }

  /** Told when a node is ready that was not: new, restarted, or back after an absence. */
  onJoined(listener: (nodeId: string) => void): void {
    this.#joined.add(listener);
  }

  beat(beat: NodeHeartbeat): void {
    const before = this.#known.get(beat.nodeId);
    // The bus says present values again after a reconnection: an old heartbeat is no sign of life.
    if (before !== undefined && before.beat.at === beat.at && before.beat.startedAt === beat.startedAt) return;
    const returned = before !== undefined && !before.reachable;
    this.#known.set(beat.nodeId, {
      beat,
      layers: new Set(beat.layers),
      stores: new Set(beat.stores.flatMap(({ store, state }) => (state === "ok" ? [store] : []))),
      seenMs: this.#clock.monotonicMs(),
      reachable: true,
      reachableSince: returned ? this.#clock.now() : (before?.reachableSince ?? 0),
      startsUnderWay: before?.startsUnderWay ?? 0,
      startsSettled: 0,
    });
    this.#missingMs.delete(beat.nodeId);
    const wasReady = before?.reachable === true && before.beat.state !== "joining" && before.beat.startedAt === beat.startedAt;
    if (beat.state !== "joining" && !wasReady) for (const listener of this.#joined) listener(beat.nodeId);
  }

  /** The node took its heartbeat away: it ended on purpose. */
  leave(nodeId: string): void {
    const known = this.#known.get(nodeId);
    if (known !== undefined) known.reachable = false;
  }

  /** Ends the leases that have run out; answers whose. */
  expire(): string[] {
    const nowMs = this.#clock.monotonicMs();
    const expired: string[] = [];
    for (const [nodeId, known] of this.#known) {
      if (nowMs - known.seenMs >= FORGET_AFTER_MS) this.#known.delete(nodeId);
      if (!known.reachable || nowMs - known.seenMs < NODE_LEASE_MS) continue;
      known.reachable = false;
      expired.push(nodeId);
    }
    return expired;
  }

  /** After our own absence from the bus: silence until now says nothing about the nodes. */
  excuse(): void {
    const nowMs = this.#clock.monotonicMs();
    for (const known of this.#known.values()) known.seenMs = nowMs;
  }

  /** How long the node has been silent; for one never seen, since it was first asked about. */
  silentMs(nodeId: string): number {
    const nowMs = this.#clock.monotonicMs();
    const known = this.#known.get(nodeId);
    if (known !== undefined) return nowMs - known.seenMs;
    const since = this.#missingMs.get(nodeId) ?? nowMs;
    this.#missingMs.set(nodeId, since);
    return nowMs - since;
  }

  isReachable(nodeId: string): boolean {
    return this.#known.get(nodeId)?.reachable ?? false;
  }

  /** Reachable, and done adopting what it had: its list of sandboxes is complete. */
  isListable(nodeId: string): boolean {
    const known = this.#known.get(nodeId);
    return known?.reachable === true && known.beat.state !== "joining";
  }

  /** Null while it does not answer; 0 for a node that has not been away. */
  reachableSince(nodeId: string): number | null {
    const known = this.#known.get(nodeId);
    return known?.reachable === true ? known.reachableSince : null;
  }

  urlOf(nodeId: string): string | null {
    return this.#known.get(nodeId)?.beat.url ?? null;
  }

  ids(): string[] {
    return [...this.#known.keys()];
  }

  candidate(nodeId: string): Candidate | null {
    const known = this.#known.get(nodeId);
    return known === undefined ? null : this.#candidateOf(known);
  }

  candidates(): Candidate[] {
    return Array.from(this.#known.values(), (known) => this.#candidateOf(known));
  }

  views(): NodeView[] {
    return Array.from(this.#known.values(), (known) => this.#viewOf(known));
  }

  view(nodeId: string): NodeView | null {
    const known = this.#known.get(nodeId);
    return known === undefined ? null : this.#viewOf(known);
  }

  wishOf(nodeId: string): NodeWish {
    return this.#wishes.get(nodeId) ?? NO_WISH;
  }

  wish(nodeId: string, wish: NodeWish): void {
    this.#wishes.set(nodeId, wish);
  }

  /** By id, with the way they are emptied. */
  draining(): [string, "move" | "stop"][] {
    return [...this.#wishes].flatMap(([nodeId, { draining }]) => (draining === null ? [] : [[nodeId, draining]]));
  }

  /** As if it had never been: until its next heartbeat. */
  forget(nodeId: string): void {
    this.#known.delete(nodeId);
    this.#wishes.delete(nodeId);
    this.#missingMs.delete(nodeId);
  }

  #viewOf({ beat, reachable }: Known): NodeView {
    const { activity: _activity, layers: _layers, ...view } = beat;
    return { ...view, reachable, ...this.wishOf(beat.nodeId) };
  }

  /** A start is on its way there; call the answer when it has ended, however it did. */
  reserve(nodeId: string, count = 1): () => void {
    const known = this.#known.get(nodeId);
    if (known !== undefined) known.startsUnderWay += count;
    return () => {
      const now = this.#known.get(nodeId);
      if (now === undefined) return;
      now.startsUnderWay = Math.max(0, now.startsUnderWay - count);
      now.startsSettled += count;
    };
  }

  #candidateOf({ beat, layers, stores, seenMs, reachable, startsUnderWay, startsSettled }: Known): Candidate {
    const promised = this.#ledger.usedOn(beat.nodeId);
    const suspect = this.#clock.monotonicMs() - seenMs >= SUSPECT_AFTER_MS;
    return {
      nodeId: beat.nodeId,
      reachable,
      state: beat.state,
      cordoned: this.wishOf(beat.nodeId).cordoned,
      capacity: beat.capacity,
      // The ledger knows what was promised a moment ago, the node what the ledger has not heard of: the larger is the safe one.
      used: {
        cpu: Math.max(promised.cpu, beat.used.cpu),
        memoryMb: Math.max(promised.memoryMb, beat.used.memoryMb),
        diskMb: Math.max(promised.diskMb, beat.used.diskMb),
        sandboxes: Math.max(promised.sandboxes, beat.used.sandboxes),
      },
      slotsFree: suspect ? 0 : Math.max(0, beat.pool.free - startsUnderWay - startsSettled),
      waiting: beat.pool.waiting,
      layers,
      stores,
    };
  }
}
