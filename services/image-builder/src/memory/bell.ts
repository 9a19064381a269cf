/** Wakes those in this process who wait for something to happen to a build. Who misses a ring finds out by looking. */
export class Bell {
  readonly #listeners = new Map<string, Set<() => void>>();

  ring(id: string): void {
    for (const wake of this.#listeners.get(id) ?? []) wake();
  }

  /** A signal that is aborted by the next ring; `end` lets go of it. */
  listen(id: string): { rung: AbortSignal; end(): void } {
    const heard = new AbortController();
    const wake = (): void => heard.abort();
    const listeners = this.#listeners.get(id) ?? new Set();
    this.#listeners.set(id, listeners.add(wake));
    return {
      rung: heard.signal,
      end: () => {
        listeners.delete(wake);
        if (listeners.size === 0) this.#listeners.delete(id);
      },
    };
  }
}
