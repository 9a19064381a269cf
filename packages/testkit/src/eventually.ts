const POLL_MS = 10;
/** Long: it is waited for only where something is wrong, and machines that test are slow. */
const TIMEOUT_MS_DEFAULT = 30_000;

export interface EventuallyOptions {
  timeoutMs?: number;
  intervalMs?: number;
}

/**
 * Tries until it no longer throws and answers what it answered; an answer of exactly `false` counts as not yet. Throws the last error
 * when the time is up. The one way to wait in a test.
 */
export async function eventually<T>(check: () => T | Promise<T>, options: EventuallyOptions = {}): Promise<Exclude<T, false>> {
  const { timeoutMs = TIMEOUT_MS_DEFAULT, intervalMs = POLL_MS } = options;
  const endsAt = performance.now() + timeoutMs;
  for (;;) {
    let failure: unknown;
    try {
      const result = await check();
      if (result !== false) return result as Exclude<T, false>;
      failure = new Error("the condition stayed false");
    } catch (error) {
      failure = error;
    }
    if (performance.now() >= endsAt) {
      throw failure instanceof Error ? new Error(`not within ${timeoutMs} ms: ${failure.message}`, { cause: failure }) : failure;
    }
    await new Promise((resolve) => setTimeout(resolve, intervalMs));
  }
}
