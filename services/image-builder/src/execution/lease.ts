import { fault } from "@banyan/contracts";
import type { Context } from "../context.ts";
import { renewLease } from "../store/renew-lease.ts";
import type { BuildRow } from "../store/schema.ts";

export const LEASE_MS = 10_000;
const RENEW_EVERY_MS = 1_000;

/** Another execution has taken the build over: whatever this one finds is of no use. */
export class Superseded extends Error {
  override readonly name = "Superseded";
}

/** Keeps a build for its execution, and stops that when it should not go on: it was cancelled, its time is over, or it is another's. */
export class Lease {
  readonly #ctx: Context;
  readonly #build: BuildRow;
  readonly #stop = new AbortController();
  readonly #renewing: NodeJS.Timeout;
  readonly #deadline: NodeJS.Timeout;

  constructor(ctx: Context, build: BuildRow) {
    this.#ctx = ctx;
    this.#build = build;
    this.#renewing = setInterval(() => void this.#renew(), RENEW_EVERY_MS);
    const leftMs = Math.max(0, build.deadlineAt.getTime() - ctx.clock.now());
    this.#deadline = setTimeout(() => this.#stop.abort(fault("build.timeout")), leftMs);
  }

  get signal(): AbortSignal {
    return AbortSignal.any([this.#stop.signal, this.#ctx.stopping]);
  }

  end(): void {
    clearInterval(this.#renewing);
    clearTimeout(this.#deadline);
  }

  async #renew(): Promise<void> {
    const { db, clock, logger } = this.#ctx;
    try {
      const renewed = await renewLease(db, this.#build, new Date(clock.now() + LEASE_MS));
      if (renewed === null) this.#stop.abort(new Superseded());
      else if (renewed.cancelWanted) this.#stop.abort(fault("build.cancelled"));
    } catch (err) {
      // The lease runs on; if it runs out, the fence keeps this execution from writing.
      logger.warn({ err, build: this.#build.id }, "a build's lease could not be renewed");
    }
  }
}
