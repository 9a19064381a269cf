import type { InputOf } from "@banyan/contracts";
import { type ForkChildrenFinished, fault } from "@banyan/contracts";
import { newId, retry } from "@banyan/kernel";
import type { Context } from "../context.ts";
import type { ForkRow } from "../domain/fork.ts";
import { type Batch, ForkBook } from "../domain/fork-book.ts";
import type { LiveFork } from "../domain/fork-live.ts";
import type { ForkWrite } from "../domain/fork-steps.ts";
import type { Mounts } from "../domain/mounts.ts";
import type { Sandbox } from "../domain/sandbox.ts";
import type { Written } from "../store/write-fork.ts";
import { carryOut } from "./carry-out.ts";
import { cleanOutcome } from "./clean.ts";
import { followWrite, freeReservations, reserveBatch } from "./reservations.ts";
import { takeUp } from "./take-up.ts";

/** What forks need of the scheduler. */
export type ForkParts = Pick<
  Context,
  "bus" | "store" | "sandboxes" | "ledger" | "nodes" | "images" | "lanes" | "clock" | "logger" | "config" | "random"
>;

/** Forks that are written at the same time; each has one write at a time. */
const WRITERS_MAX = 8;
/** Writes of one fork before the others have their turn. */
const WRITES_IN_A_ROW = 4;
const WRITE_TRIES_MAX = 1_000;
const WRITE_DELAY_MS = 100;
const WRITE_DELAY_MAX_MS = 5_000;

export interface Watch {
  changed: Promise<void>;
  /** Nobody waits any more. */
  end(): void;
}

interface Waiter {
  through: number;
  resolve(): void;
  reject(error: unknown): void;
}

/**
 * The book and the world around it: tells it what happens, writes what it decides, and then has that carried out. Memory first, rows second,
 * deeds last; what is answered or acknowledged was written.
 */
export class Forks {
  readonly book: ForkBook;
  readonly parts: ForkParts;
  /** By batch: ends its reservation of slots. */
  readonly slots = new Map<number, () => void>();
  /** Told that a fork which ended is to be said. */
  onEnded: () => void = () => {};
  readonly #writers = new Map<string, { orgId: string; writing: Promise<void> }>();
  readonly #waiters = new Map<string, Set<Waiter>>();
  readonly #watchers = new Map<string, Set<() => void>>();
  readonly #ending = new AbortController();
  #turnDue = false;
  #open = false;

  constructor(parts: ForkParts) {
    this.parts = parts;
    this.book = new ForkBook({ newSandboxId: () => newId("sbx") });
  }

  /** Takes up what a process before this one left unfinished. */
  async load(): Promise<void> {
    for (const forkId of await this.parts.store.listUnfinishedForks()) await takeUp(this, forkId);
  }

  /** The nodes that are there are known: from now on there is something to plan with. */
  open(): void {
    this.#open = true;
    this.kick();
  }

  add(row: ForkRow, mounts: Mounts): void {
    this.book.add(row, [], this.parts.clock.now(), mounts);
    this.kick();
  }

  /** Commands have ended. Resolves when that is written. */
  async finished({ forkId, children }: InputOf<typeof ForkChildrenFinished>): Promise<void> {
    const reports = children.map(({ outcome, ...report }) => ({ ...report, outcome: outcome && cleanOutcome(outcome) }));
    this.book.finished(forkId, reports, this.parts.clock.now());
    this.kick();
    await this.written(forkId);
  }

  async cancel(forkId: string, how: { reason: string; deletesAll: boolean }): Promise<void> {
    this.book.cancel(forkId, how, this.parts.clock.now());
    this.kick();
    await this.written(forkId);
  }

  sandboxChanged({ id, state, stateReason: reason }: Pick<Sandbox, "id" | "state" | "stateReason">): void {
    if (!this.book.owns(id)) return;
    this.book.sandboxChanged(id, { state, reason }, this.parts.clock.now());
    this.kick();
  }

  /** A child that starts and that its owner deletes: it counts as cancelled. False: there is none. */
  async removeStarting({ orgId, id }: { orgId: string; id: string }): Promise<boolean> {
    const sandbox = this.book.starting(id);
    if (sandbox?.origin == null || sandbox.orgId !== orgId) return false;
    this.book.removeStarting(id, this.parts.clock.now());
    this.kick();
    await this.written(sandbox.origin.forkId);
    return true;
  }

  nodeLost(nodeId: string): void {
    this.book.nodeLost(nodeId, this.parts.clock.now());
    this.kick();
  }

  /** What time brings. */
  tick(): void {
    const { nodes, config, clock, bus } = this.parts;
    // Deaf ourselves: the nodes' silence is ours.
    if (!bus.connected) return;
    this.book.tick({
      now: clock.now(),
      isReachable: (nodeId) => nodes.isReachable(nodeId),
      isLost: (nodeId) => nodes.silentMs(nodeId) >= config.nodeLostAfterMs,
    });
    this.kick();
  }

  /** Looks soon whether there is something to plan or to write. What comes in the same moment goes in one turn. */
  kick(): void {
    if (!this.#open || this.#turnDue || this.#ending.signal.aborted) return;
    this.#turnDue = true;
    setImmediate(() => this.#turn());
  }

  /** Resolves when everything decided about the fork up to now is written. */
  written(forkId: string): Promise<void> {
    const fork = this.book.get(forkId);
    if (fork === undefined) return this.#writers.get(forkId)?.writing ?? Promise.resolve();
    if (fork.queue.length === 0 && !this.#writers.has(forkId)) return Promise.resolve();
    return new Promise((resolve, reject) => addTo(this.#waiters, forkId, { through: fork.queued, resolve, reject }));
  }

  /** The same for all forks of an organisation: a child that has just started may have its row in one of these writes. */
  async allWritten(orgId: string): Promise<void> {
    const due = new Set(this.book.dirty());
    for (const [forkId] of this.#writers) due.add(forkId);
    const isOwn = (forkId: string): boolean => (this.#writers.get(forkId)?.orgId ?? this.book.get(forkId)?.row.orgId) === orgId;
    await Promise.all([...due].filter(isOwn).map((forkId) => this.written(forkId)));
  }

  /** `changed` resolves at the next write of the fork, or when the time is up or nobody waits any more. */
  watch(forkId: string, waitMs: number, signal: AbortSignal): Watch {
    const { promise: changed, resolve } = Promise.withResolvers<void>();
    const over = AbortSignal.any([signal, this.#ending.signal]);
    const end = (): void => {
      clearTimeout(timer);
      over.removeEventListener("abort", end);
      removeFrom(this.#watchers, forkId, end);
      resolve();
    };
    const timer = setTimeout(end, waitMs);
    over.addEventListener("abort", end, { once: true });
    addTo(this.#watchers, forkId, end);
    if (over.aborted) end();
    return { changed, end };
  }

  /** Finishes the writes under way. What was sent is sent again by the next process, and answered like the first time. */
  async stop(): Promise<void> {
    const stopping = fault("bus.unavailable", { reason: "stopping" });
    this.#ending.abort(stopping);
    await Promise.allSettled(Array.from(this.#writers.values(), ({ writing }) => writing));
    for (const forkId of [...this.#waiters.keys()]) this.#settle(forkId, Number.MAX_SAFE_INTEGER, stopping);
  }

  #turn(): void {
    this.#turnDue = false;
    if (this.#ending.signal.aborted) return;
    for (const batch of this.#plan()) reserveBatch(this, batch);
    for (const forkId of this.book.dirty()) {
      if (this.#writers.size >= WRITERS_MAX) break;
      if (this.#writers.has(forkId)) continue;
      // The last write has the book forget the fork.
      const orgId = this.book.get(forkId)?.row.orgId ?? "";
      const writing = this.#writeAll(forkId).finally(() => {
        this.#writers.delete(forkId);
        this.kick();
      });
      this.#writers.set(forkId, { orgId, writing });
    }
  }

  #plan(): Batch[] {
    const { nodes, ledger, clock } = this.parts;
    const now = clock.now();
    return this.book.plan({
      now,
      get nodes() {
        return nodes.candidates();
      },
      usage: (orgId) => ledger.usage(orgId),
    });
  }

  async #writeAll(forkId: string): Promise<void> {
    const fork = this.book.get(forkId);
    if (fork === undefined) return;
    for (let left = WRITES_IN_A_ROW; left > 0; left--) {
      const write = this.book.take(forkId);
      if (write === null) return;
      try {
        const written = await this.#write(fork, write);
        if (written.kind === "overtaken") return await this.#startOver(fork);
        followWrite(this.parts, fork.row, write, written.ended);
      } catch (error) {
        this.#settle(forkId, Number.MAX_SAFE_INTEGER, error);
        if (this.#ending.signal.aborted) return;
        this.parts.logger.error({ err: error, forkId }, "a fork could not be written; it is read anew");
        return await this.#startOver(fork);
      }
      this.#settle(forkId, write.through, null);
      for (const watcher of [...(this.#watchers.get(forkId) ?? [])]) watcher();
      for (const action of write.actions) carryOut(this, fork, action);
      this.kick();
    }
  }

  #write(fork: LiveFork, write: ForkWrite): Promise<Written> {
    const { store, clock, logger } = this.parts;
    const writeId = newId("evt");
    return retry(() => store.writeFork(write, fork, writeId), {
      attemptsMax: WRITE_TRIES_MAX,
      baseDelayMs: WRITE_DELAY_MS,
      delayMaxMs: WRITE_DELAY_MAX_MS,
      retryable: (error) => {
        const passes = error instanceof Error && "code" in error && error.code === "database.unavailable";
        if (passes) logger.warn({ err: error, forkId: write.forkId }, "a fork waits for the database");
        return passes && !this.#ending.signal.aborted;
      },
      clock,
      signal: this.#ending.signal,
    });
  }

  /** Another process has written this fork, or a write of ours was refused: what is in memory is not what is. */
  async #startOver(fork: LiveFork): Promise<void> {
    const { id } = fork.row;
    freeReservations(this, fork);
    this.book.forget(id);
    this.#settle(id, Number.MAX_SAFE_INTEGER, fault("database.unavailable", { retryAfterMs: WRITE_DELAY_MAX_MS }));
    await this.parts.clock.sleep(WRITE_DELAY_MAX_MS, this.#ending.signal).catch(() => {});
    if (!this.#ending.signal.aborted) await takeUp(this, id);
  }

  #settle(forkId: string, through: number, error: unknown): void {
    for (const waiter of [...(this.#waiters.get(forkId) ?? [])]) {
      if (waiter.through > through) continue;
      removeFrom(this.#waiters, forkId, waiter);
      if (error === null) waiter.resolve();
      else waiter.reject(error);
    }
  }
}

function addTo<T>(sets: Map<string, Set<T>>, key: string, value: T): void {
  const set = sets.get(key) ?? new Set();
  sets.set(key, set.add(value));
}

function removeFrom<T>(sets: Map<string, Set<T>>, key: string, value: T): void {
  const set = sets.get(key);
  set?.delete(value);
  if (set?.size === 0) sets.delete(key);
}
