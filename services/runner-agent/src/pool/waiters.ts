import type { Clock } from "@banyan/kernel";

interface Waiter<T> {
  resolve(value: T): void;
  fail(reason: unknown): void;
  /** Ends its timer and its abort listener. */
  settle(): void;
}

export interface WaitOptions {
  deadlineMs: number;
  signal?: AbortSignal;
  /** What the waiter is told when its deadline passes. */
  onDeadline: () => Error;
}

/** A queue of those who wait for something, first come first served, each with its own deadline. */
export class Waiters<T> {
  readonly #clock: Clock;
  readonly #queue = new Set<Waiter<T>>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get size(): number {
    return this.#queue.size;
  }

  wait({ deadlineMs, signal, onDeadline }: WaitOptions): Promise<T> {
    return new Promise((resolve, reject) => {
      const ended = new AbortController();
      const fail = (reason: unknown) => {
        this.#queue.delete(waiter);
        waiter.settle();
        reject(reason);
      };
      const onAbort = () => fail(signal?.reason);
      const waiter: Waiter<T> = {
        resolve,
        fail,
        settle: () => {
          ended.abort();
          signal?.removeEventListener("abort", onAbort);
        },
      };
      if (signal?.aborted) return reject(signal.reason);
      signal?.addEventListener("abort", onAbort, { once: true });
      this.#queue.add(waiter);
      this.#clock.sleep(deadlineMs, ended.signal).then(
        () => fail(onDeadline()),
        () => undefined,
      );
    });
  }

  /** Ends all waiting. */
  failAll(reason: () => Error): void {
    for (const waiter of this.#queue) waiter.fail(reason());
  }

  /** Gives the value to who has waited longest; false when nobody waits. */
  serve(value: T): boolean {
    const [first] = this.#queue;
    if (first === undefined) return false;
    this.#queue.delete(first);
    first.settle();
    first.resolve(value);
    return true;
  }
}
