import { fault } from "@banyan/contracts";

const RETRY_AFTER_MS = 1_000;

/** One after the other for each key; a bounded number of them wait. */
export class Turns {
  readonly #waitingMax: number;
  readonly #queues = new Map<string, { last: Promise<unknown>; length: number }>();

  constructor(waitingMax: number) {
    this.#waitingMax = waitingMax;
  }

  /** Throws volume.unreachable where too many wait. */
  async take<T>(key: string, work: () => Promise<T>): Promise<T> {
    const queue = this.#queues.get(key) ?? { last: Promise.resolve(), length: 0 };
    if (queue.length > this.#waitingMax)
      throw fault("volume.unreachable", { retryAfterMs: RETRY_AFTER_MS }, { message: "Too many parts of the upload wait." });
    this.#queues.set(key, queue);
    queue.length++;
    const turn = queue.last.then(work);
    queue.last = turn.catch(() => undefined);
    try {
      return await turn;
    } finally {
      if (--queue.length === 0) this.#queues.delete(key);
    }
  }
}
