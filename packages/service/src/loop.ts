import type { Clock, Logger } from "@banyan/kernel";

const BACK_OFF_MAX_MS = 30_000;
/** Given as reason, for the default one is made with a stack trace at every poke. */
const WOKEN = new Error("woken");

export interface LoopOptions {
  name: string;
  everyMs: number;
  clock: Clock;
  logger: Logger;
  /** One bounded round. `true`: there is more to do, so the next one follows at once. */
  round: (signal: AbortSignal) => Promise<unknown>;
  /** After a poke, so long is waited for what else there will be to do. */
  gatherMs?: number;
}

export interface Loop {
  /** Look now, not at the next turn. Without effect while the loop backs off. */
  poke(): void;
  /** Waits for the round under way. */
  stop(): Promise<void>;
}

/** Looks again and again; after a failure less and less often, until it works again. Never ends by itself. */
export function startLoop({ name, everyMs, clock, logger, round, gatherMs = 0 }: LoopOptions): Loop {
  const stopped = new AbortController();
  let waking = new AbortController();
  let poked = false;
  let failures = 0;

  const rest = async (ms: number, wake: AbortSignal): Promise<void> => {
    // Woken or stopped: both are reasons to go on, and the loop's condition tells which.
    await clock.sleep(ms, AbortSignal.any([stopped.signal, wake])).catch(() => {});
  };
  const turn = async (): Promise<void> => {
    poked = false;
    let more = false;
    try {
      more = (await round(stopped.signal)) === true;
      if (failures > 0) logger.info({ loop: name, failures }, "a loop works again");
      failures = 0;
    } catch (err) {
      if (stopped.signal.aborted) return;
      failures++;
      logger.warn({ err, loop: name, failures }, "a round of a loop failed");
      await rest(Math.min(BACK_OFF_MAX_MS, Math.max(everyMs, 250) * 2 ** Math.min(failures - 1, 10)), stopped.signal);
      return;
    }
    if (more) return;
    if (!poked) {
      waking = new AbortController();
      await rest(everyMs, waking.signal);
    }
    if (poked && gatherMs > 0) await rest(gatherMs, stopped.signal);
  };
  const run = async (): Promise<void> => {
    while (!stopped.signal.aborted) await turn();
  };
  const running = run();
  return {
    poke() {
      poked = true;
      waking.abort(WOKEN);
    },
    async stop() {
      stopped.abort();
      await running;
    },
  };
}

/** Runs over items, so many at once; one's failure does not keep the others from their turn, and the first is thrown at the end. */
export async function forEachAtMost<T>(items: readonly T[], parallel: number, run: (item: T) => Promise<void>): Promise<void> {
  const failures: unknown[] = [];
  const queue = items.values();
  const lane = async (): Promise<void> => {
    for (const item of queue) await run(item).catch((error) => failures.push(error));
  };
  await Promise.all(Array.from({ length: Math.min(parallel, items.length) }, lane));
  if (failures.length > 0) throw failures[0];
}
