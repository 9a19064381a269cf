import type { Clock } from "@banyan/kernel";

interface Sleeper {
  at: number;
  wake(): void;
}

export interface FakeClock extends Clock {
  /** Moves time on, waking sleepers in the order of their time; lets what they do run before the next one wakes. */
  advance(ms: number): Promise<void>;
  /** How many sleep now. */
  readonly sleepers: number;
}

const START_MS = Date.UTC(2026, 0, 1);

export function fakeClock(startMs: number = START_MS): FakeClock {
  let elapsedMs = 0;
  const sleepers = new Set<Sleeper>();
  const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  return {
    now: () => startMs + elapsedMs,
    monotonicMs: () => elapsedMs,
    sleep: (ms, signal) =>
      new Promise((resolve, reject) => {
        if (signal?.aborted) return reject(signal.reason);
        const onAbort = (): void => {
          sleepers.delete(sleeper);
          reject(signal?.reason);
        };
        const sleeper: Sleeper = {
          at: elapsedMs + ms,
          wake: () => {
            signal?.removeEventListener("abort", onAbort);
            resolve();
          },
        };
        sleepers.add(sleeper);
        signal?.addEventListener("abort", onAbort, { once: true });
      }),
    async advance(ms) {
      const until = elapsedMs + ms;
      await settle();
      for (;;) {
        const due = [...sleepers].filter((sleeper) => sleeper.at <= until).sort((a, b) => a.at - b.at)[0];
        if (!due) break;
        sleepers.delete(due);
        elapsedMs = Math.max(elapsedMs, due.at);
        due.wake();
        await settle();
      }
      elapsedMs = until;
    },
    get sleepers() {
      return sleepers.size;
    },
  };
}
