import type { Clock } from "./clock.ts";

export interface RetryOptions {
  attemptsMax: number;
  baseDelayMs: number;
  delayMaxMs: number;
  /** False ends the tries at once. */
  retryable: (error: unknown) => boolean;
  clock: Clock;
  random?: () => number;
  signal?: AbortSignal;
}

/** Exponential back-off with full jitter, bounded in tries and in delay. Throws the last error. */
export async function retry<T>(operation: (attempt: number) => Promise<T>, options: RetryOptions): Promise<T> {
  const random = options.random ?? Math.random;
  for (let attempt = 1; ; attempt++) {
    try {
      return await operation(attempt);
    } catch (error) {
      if (attempt >= options.attemptsMax || !options.retryable(error)) throw error;
      const ceilingMs = Math.min(options.delayMaxMs, options.baseDelayMs * 2 ** (attempt - 1));
      await options.clock.sleep(random() * ceilingMs, options.signal);
    }
  }
}
