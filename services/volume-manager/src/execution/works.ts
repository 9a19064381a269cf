import { isFault } from "@banyan/contracts";
import { messageOf } from "@banyan/kernel";
import type { WorkContext } from "../context.ts";
import { afterFailure } from "../domain/after-failure.ts";
import { claimWork, type WorkTable } from "../store/claim-work.ts";
import { postponeWork } from "../store/renew-lease.ts";
import { type Deed, findDeed } from "./deed.ts";
import { holdLease, LEASE_MS } from "./hold-lease.ts";

/** How a try ended. later: it is tried again; gone: it is no longer ours, or not to be done any more. */
export type Ended = { kind: "done" } | { kind: "failed" | "later"; error: unknown } | { kind: "gone" };

interface Lane {
  states: readonly string[];
  isCopy: boolean | null;
  max: number;
  /** Of one organisation: what it has copied, of whatever size and however hard to read, keeps nobody else out. */
  perOrgMax: number | null;
}

const QUICK_MAX = 8;
const REMOVALS_MAX = 2;
const RETRY_MAX_MS = 300_000;
const TABLES = ["volumes", "versions"] as const;
const FILLING = ["creating", "restoring"] as const;

/**
 * Carries out what the rows say is to be done to files: a row first, then the deed, then the row again. Whichever process claims it; one that ends leaves
 * it to the next, which begins it anew.
 */
export class Works {
  readonly #ctx: WorkContext;
  readonly #lanes: Record<"quick" | "copy" | "removal", Lane>;
  readonly #running = new Map<string, { lane: Lane; abort: AbortController; ended: Promise<Ended> }>();
  readonly #stopping = new AbortController();

  constructor(ctx: WorkContext) {
    this.#ctx = ctx;
    this.#lanes = {
      quick: { states: FILLING, isCopy: false, max: QUICK_MAX, perOrgMax: null },
      copy: { states: FILLING, isCopy: true, max: ctx.config.copiesAtOnce, perOrgMax: Math.max(ctx.config.copiesAtOnce - 1, 1) },
      removal: { states: ["deleting"], isCopy: null, max: REMOVALS_MAX, perOrgMax: null },
    };
  }

  /** Begins it at once where there is room. Null: it has to wait for its turn. */
  async offer(table: WorkTable, { id, isCopy }: { id: string; isCopy: boolean }): Promise<{ ended: Promise<Ended> } | null> {
    const claimed = await this.#claim(table, isCopy ? this.#lanes.copy : this.#lanes.quick, id);
    // The round may have been faster.
    const ended = claimed[0] ?? this.#running.get(id)?.ended;
    // Within an object: a promise that is itself answered would be waited for.
    return ended === undefined ? null : { ended };
  }

  /** Takes up what is due, as far as there is room. True: there may be more. */
  async round(): Promise<boolean> {
    let more = false;
    for (const lane of Object.values(this.#lanes)) {
      for (const table of TABLES) more = (await this.#claim(table, lane, null)).length > 0 || more;
    }
    return more;
  }

  /** What is being done to it is not wanted any more. */
  abort(id: string): void {
    this.#running.get(id)?.abort.abort(new Error("it is being deleted"));
  }

  /** Gives up what is under way: whoever comes next begins it anew. */
  async stop(): Promise<void> {
    this.#stopping.abort(new Error("the volume-manager is stopping"));
    await Promise.all([...this.#running.values()].map(({ ended }) => ended));
  }

  async #claim(table: WorkTable, lane: Lane, id: string | null): Promise<Promise<Ended>[]> {
    const free = lane.max - [...this.#running.values()].filter((each) => each.lane === lane).length;
    if (this.#stopping.signal.aborted) return [];
    const { db, clock, holder } = this.#ctx;
    const store = this.#ctx.backends.directoryStore();
    const { states, isCopy, perOrgMax } = lane;
    // One at a time, where the next depends on whose this one is.
    const limit = perOrgMax === null ? free : Math.min(free, 1);
    const claim = { table, states, isCopy, perOrgMax, store, id, holder, now: clock.now(), leaseMs: LEASE_MS, limit };
    return (await claimWork(db, claim)).map((claimed) => this.#begin(table, claimed, lane));
  }

  #begin(table: WorkTable, id: string, lane: Lane): Promise<Ended> {
    const abort = new AbortController();
    const signal = AbortSignal.any([abort.signal, this.#stopping.signal]);
    const ended = this.#carryOut(table, id, { abort, signal }).finally(() => this.#running.delete(id));
    this.#running.set(id, { lane, abort, ended });
    return ended;
  }

  async #carryOut(table: WorkTable, id: string, run: { abort: AbortController; signal: AbortSignal }): Promise<Ended> {
    let deed: Deed | null = null;
    try {
      deed = await findDeed(this.#ctx, table, id);
      if (deed === null) return { kind: "gone" };
      const lease = holdLease(this.#ctx, { ...deed.row, table }, run.abort);
      try {
        await deed.carryOut({ signal: run.signal, attempt: deed.row.attempts, progress: lease.progress });
        return (await deed.done()) ? { kind: "done" } : { kind: "gone" };
      } finally {
        await lease.stop();
      }
    } catch (error) {
      return this.#failed(table, deed, { error, aborted: run.abort.signal.aborted }).catch((failure: unknown): Ended => {
        // The lease ends by itself.
        this.#ctx.logger.warn({ err: failure, id }, "how a deed on a volume ended could not be written down");
        return { kind: "later", error: failure };
      });
    }
  }

  async #failed(table: WorkTable, deed: Deed | null, { error, aborted }: { error: unknown; aborted: boolean }): Promise<Ended> {
    const { db, clock, config, logger } = this.#ctx;
    if (deed === null || aborted) return { kind: "gone" };
    const tried = { table, id: deed.row.id, attempts: deed.row.attempts };
    if (this.#stopping.signal.aborted) {
      await postponeWork(db, tried, { dueAt: new Date(clock.now()), reason: null, isFailure: false });
      return { kind: "later", error };
    }
    const failures = deed.row.failures + 1;
    const isOverdue = deed.dueBy !== undefined && clock.now() >= deed.dueBy;
    if (deed.isRemoval || afterFailure(error, failures, isOverdue) === "again") {
      const isFailure = !isFault(error, "volume.unreachable", "volume.in_use");
      const delayMs = isFailure ? Math.min(config.retryMs * 2 ** Math.min(failures - 1, 10), RETRY_MAX_MS) : config.retryMs;
      await postponeWork(db, tried, { dueAt: new Date(clock.now() + delayMs), reason: messageOf(error).slice(0, 500), isFailure });
      logger.warn({ err: error, ...tried }, "a deed on a volume is tried again");
      return { kind: "later", error };
    }
    logger.warn({ err: error, ...tried }, "a deed on a volume failed");
    await deed.failed(messageOf(error).slice(0, 500));
    return { kind: "failed", error };
  }
}
