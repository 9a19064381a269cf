import type { Clock, Logger } from "@banyan/kernel";

export interface Loop {
  /** Resolves when the round under way has ended. */
  stop(): Promise<void>;
}

/** Does the same thing again and again, a rest in between. A round that fails is logged; the next one comes all the same. */
export function repeat(name: string, everyMs: number, parts: { clock: Clock; logger: Logger }, round: () => Promise<void> | void): Loop {
  const stopped = new AbortController();
  const run = async () => {
    while (!stopped.signal.aborted) {
      try {
        await round();
      } catch (err) {
        parts.logger.error({ err, loop: name }, "a round of a loop failed");
      }
      await parts.clock.sleep(everyMs, stopped.signal).catch(() => undefined);
    }
  };
  const ended = run();
  return {
    stop: () => {
      stopped.abort();
      return ended;
    },
  };
}
