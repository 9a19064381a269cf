import { messageOf } from "@banyan/kernel";
import type { WorkContext } from "../context.ts";
import { renewLease, type Try } from "../store/renew-lease.ts";

/** Of a process that ended, others take over what it did after so long. */
export const LEASE_MS = 15_000;
const RENEW_EVERY_MS = 2_000;

/** Renews the lease of a try with the share that is done; where that is refused, or not possible until it has run out, the try is aborted. */
export function holdLease(ctx: WorkContext, tried: Try, abort: AbortController): { progress(share: number): void; stop(): Promise<void> } {
  const { db, clock } = ctx;
  const ended = new AbortController();
  let share: number | null = null;
  let heldUntilMs = clock.monotonicMs() + LEASE_MS;
  const renew = async (): Promise<void> => {
    const from = clock.monotonicMs();
    try {
      if (!(await renewLease(db, tried, { until: new Date(clock.now() + LEASE_MS), progress: share }))) {
        abort.abort(new Error("it was taken over, or is no longer wanted"));
      } else heldUntilMs = from + LEASE_MS;
    } catch (error) {
      if (clock.monotonicMs() > heldUntilMs) abort.abort(new Error(`its lease ran out: ${messageOf(error)}`));
    }
  };
  const run = async (): Promise<void> => {
    while (!ended.signal.aborted) {
      await clock.sleep(RENEW_EVERY_MS, ended.signal).catch(() => {});
      if (!ended.signal.aborted) await renew();
    }
  };
  const running = run();
  return {
    progress(done) {
      share = done;
    },
    async stop() {
      ended.abort();
      await running;
    },
  };
}
