import { fault } from "@banyan/contracts";
import { assert, type Clock, type Logger } from "@banyan/kernel";
import { isAlive as isProcessAlive, type Slot, type SlotMaker } from "@banyan/runtime";
import { backoffMs, type RefillBounds, RefillPace, restMs, slotsWanted } from "./refill.ts";
import { Waiters } from "./waiters.ts";

export interface PoolOptions extends RefillBounds {
  /** More claims than this at once are refused without waiting. */
  waitersMax: number;
  clock: Clock;
  logger: Logger;
  isAlive?: (slot: Slot) => boolean;
}

export interface Claim {
  slot: Slot;
  path: "warm" | "cold";
}

const DESTROYS_MAX = 2;
/** Beyond so many dead slots their destruction waits for no quiet. */
const DESTROYS_HELD_MAX = 128;

/**
 * The warm pool. A slot is here from the moment it is made until it is destroyed: free, or taken by exactly one claim. Taken slots never
 * come back; what ran in one must not meet what runs next.
 */
export class SlotPool {
  readonly #maker: SlotMaker;
  readonly #options: PoolOptions;
  readonly #isAlive: (slot: Slot) => boolean;
  readonly #free: Slot[] = [];
  readonly #taken = new Map<string, Slot>();
  readonly #waiters: Waiters<Slot>;
  readonly #pace = new RefillPace();
  readonly #making = new Set<Promise<void>>();
  readonly #destroying = new Set<Promise<void>>();
  readonly #toDestroy: Slot[] = [];
  #failures = 0;
  #nextMakeAt = 0;
  #claimedAt = Number.NEGATIVE_INFINITY;
  #stopped = new AbortController();
  #isPaused = false;

  constructor(maker: SlotMaker, options: PoolOptions) {
    this.#maker = maker;
    this.#options = options;
    this.#isAlive = options.isAlive ?? isProcessAlive;
    this.#waiters = new Waiters(options.clock);
    this.#stopped.abort();
  }

  /** Takes in slots that an earlier process of this node made. */
  adopt(slots: { free: readonly Slot[]; taken: readonly Slot[] }): void {
    this.#free.push(...slots.free);
    for (const slot of slots.taken) this.#taken.set(slot.id, slot);
  }

  start(): void {
    this.#stopped = new AbortController();
    this.#refill();
  }

  /** A slot at once, or null when none is free. */
  take(): Slot | null {
    for (let slot = this.#free.pop(); slot !== undefined; slot = this.#free.pop()) {
      this.#hand(slot);
      if (this.#isAlive(slot)) {
        this.#refill();
        return slot;
      }
      this.#options.logger.warn({ slotId: slot.id }, "a free slot was dead");
      this.release(slot);
    }
    this.#refill();
    return null;
  }

  /** A slot, waiting for one until the deadline. Throws node.no_slot with retryAfterMs. */
  async claim(deadlineMs: number, signal?: AbortSignal): Promise<Claim> {
    const slot = this.take();
    if (slot !== null) return { slot, path: "warm" };
    if (this.#waiters.size >= this.#options.waitersMax || deadlineMs <= 0) throw this.#noSlot();
    const waiting = this.#waiters.wait({ deadlineMs, onDeadline: () => this.#noSlot(), ...(signal === undefined ? {} : { signal }) });
    this.#refill();
    return { slot: await waiting, path: "cold" };
  }

  /** Gives a taken slot up. It is destroyed in the background, a few at a time. */
  release(slot: Slot): void {
    assert(this.#taken.has(slot.id), `slot ${slot.id} is not taken`);
    this.#toDestroy.push(slot);
    this.#destroyNext();
  }

  /** The slot may have ended by itself. A free one that has is thrown away; whoever took a taken one releases it. */
  died(slotId: string): void {
    const index = this.#free.findIndex((slot) => slot.id === slotId && !this.#isAlive(slot));
    const [slot] = index === -1 ? [] : this.#free.splice(index, 1);
    if (slot === undefined) return;
    this.#hand(slot);
    this.release(slot);
    this.#refill();
  }

  /** Every slot the pool answers for. */
  slots(): Slot[] {
    return [...this.#free, ...this.#taken.values()];
  }

  freeSlots(): readonly Slot[] {
    return this.#free;
  }

  get status(): { target: number; free: number; starting: number; waiting: number } {
    return { target: this.#options.target, free: this.#free.length, starting: this.#making.size, waiting: this.#waiters.size };
  }

  retryAfterMs(): number {
    return this.#pace.retryAfterMs(this.#options, this.#waiters.size);
  }

  /** Nobody waits here any longer: the node is about to leave. */
  refuseWaiters(): void {
    this.#waiters.failAll(() => this.#noSlot());
  }

  /** Makes no more slots and waits for those on their way in or out. The free ones stay. */
  async stop(): Promise<void> {
    this.#stopped.abort();
    this.#destroyNext();
    while (this.#making.size + this.#destroying.size > 0) await Promise.all([...this.#making, ...this.#destroying]);
  }

  #hand(slot: Slot): void {
    assert(!this.#taken.has(slot.id), `slot ${slot.id} was handed out twice`);
    this.#taken.set(slot.id, slot);
    this.#claimedAt = this.#options.clock.monotonicMs();
  }

  #restMs(): number {
    const state = { free: this.#free.length, waiting: this.#waiters.size };
    return restMs(this.#options, state, this.#options.clock.monotonicMs() - this.#claimedAt);
  }

  #noSlot(): Error {
    return fault("node.no_slot", { retryAfterMs: this.retryAfterMs() });
  }

  #refill(): void {
    const { clock } = this.#options;
    const state = { free: this.#free.length, starting: this.#making.size, taken: this.#taken.size, waiting: this.#waiters.size };
    for (let wanted = slotsWanted(this.#options, state); wanted > 0 && !this.#stopped.signal.aborted; wanted--) {
      const delayMs = Math.max(this.#nextMakeAt - clock.monotonicMs(), this.#restMs());
      if (delayMs > 0) {
        this.#later(delayMs);
        return;
      }
      this.#nextMakeAt = clock.monotonicMs() + 1_000 / this.#options.perS;
      const making = this.#make().finally(() => {
        this.#making.delete(making);
        this.#refill();
      });
      this.#making.add(making);
    }
  }

  /** Goes on with making and destroying slots. */
  #later(delayMs: number): void {
    if (this.#isPaused) return;
    this.#isPaused = true;
    const resume = () => {
      this.#isPaused = false;
      this.#refill();
      this.#destroyNext();
    };
    this.#options.clock.sleep(delayMs, this.#stopped.signal).then(resume, () => {
      this.#isPaused = false;
    });
  }

  async #make(): Promise<void> {
    const { clock, logger } = this.#options;
    const startedAt = clock.monotonicMs();
    try {
      const slot = await this.#maker.make();
      this.#pace.record(clock.monotonicMs() - startedAt);
      this.#failures = 0;
      this.#admit(slot);
    } catch (err) {
      this.#failures++;
      const delayMs = backoffMs(this.#failures);
      this.#nextMakeAt = clock.monotonicMs() + delayMs;
      logger.error({ err, failures: this.#failures, delayMs }, "no slot could be made");
    }
  }

  #admit(slot: Slot): void {
    if (this.#waiters.size === 0) {
      this.#free.push(slot);
      return;
    }
    this.#hand(slot);
    assert(this.#waiters.serve(slot), "a waiter vanished");
  }

  #destroyNext(): void {
    while (this.#destroying.size < DESTROYS_MAX) {
      const waits = !this.#stopped.signal.aborted && this.#toDestroy.length <= DESTROYS_HELD_MAX;
      const delayMs = waits && this.#toDestroy.length > 0 ? this.#restMs() : 0;
      if (delayMs > 0) {
        this.#later(delayMs);
        return;
      }
      const slot = this.#toDestroy.shift();
      if (slot === undefined) return;
      const destroying = this.#destroy(slot).finally(() => {
        this.#destroying.delete(destroying);
        this.#destroyNext();
        this.#refill();
      });
      this.#destroying.add(destroying);
    }
  }

  async #destroy(slot: Slot): Promise<void> {
    try {
      await this.#maker.destroy(slot);
    } catch (err) {
      // From here on nobody knows it: the reconcile loop finds it and tries again.
      this.#options.logger.error({ err, slotId: slot.id }, "a slot could not be destroyed");
    }
    this.#taken.delete(slot.id);
  }
}
