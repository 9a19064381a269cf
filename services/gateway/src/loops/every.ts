import type { Clock, Logger } from "@banyan/kernel";

export interface Loop {
  /** Ends it and waits for the round under way. */
  stop(): Promise<void>;
}

/** One round after another, with a pause between. A round that fails is logged; the next one repairs. */
export function every(
  intervalMs: number,
  name: string,
  round: () => Promise<void>,
  { clock, logger }: { clock: Clock; logger: Logger },
): Loop {
  const stopping = new AbortController();
  const run = async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      await clock.sleep(intervalMs, stopping.signal).catch(() => {});
      if (stopping.signal.aborted) return;
      await round().catch((err: unknown) => logger.warn({ err, loop: name }, "a round failed; the next one tries again"));
    }
  };
  const ended = run();
  return {
    stop() {
      stopping.abort();
      return ended;
    },
  };
}
