import { fault } from "@banyan/contracts";
import type { Clock } from "@banyan/kernel";

export interface PlacesOptions {
  max: number;
  /** Of one holder; the others stay for whoever else comes. */
  perHolderMax: number;
  waitingMax: number;
  waitMs: number;
  clock: Clock;
}

interface Waiting {
  holder: string;
  enter(): void;
}

const RETRY_AFTER_MS = 500;

/** A bounded number of places, of which nobody has more than a share. Who finds none waits for a bounded time, first come, first served. */
export class Places {
  readonly #options: PlacesOptions;
  readonly #held = new Map<string, number>();
  readonly #waiting: Waiting[] = [];
  #count = 0;

  constructor(options: PlacesOptions) {
    this.#options = options;
  }

  /** Throws upload.busy. */
  async use<T>(holder: string, work: () => Promise<T>): Promise<T> {
    if (this.#isFree(holder)) this.#enter(holder);
    else await this.#wait(holder);
    try {
      return await work();
    } finally {
      this.#leave(holder);
    }
  }

  #isFree(holder: string): boolean {
    return this.#count < this.#options.max && (this.#held.get(holder) ?? 0) < this.#options.perHolderMax;
  }

  #enter(holder: string): void {
    this.#count++;
    this.#held.set(holder, (this.#held.get(holder) ?? 0) + 1);
  }

  #leave(holder: string): void {
    this.#count--;
    const left = (this.#held.get(holder) ?? 0) - 1;
    if (left > 0) this.#held.set(holder, left);
    else this.#held.delete(holder);
    const at = this.#waiting.findIndex((waiting) => this.#isFree(waiting.holder));
    if (at >= 0) this.#waiting.splice(at, 1)[0]?.enter();
  }

  /** A holder has no more than half of the queue, so that it is not what keeps others out. */
  #wait(holder: string): Promise<void> {
    const { waitingMax, waitMs, clock } = this.#options;
    const own = this.#waiting.filter((waiting) => waiting.holder === holder).length;
    if (this.#waiting.length >= waitingMax || own >= waitingMax / 2) throw busy();
    return new Promise((resolve, reject) => {
      const late = new AbortController();
      const waiting: Waiting = {
        holder,
        enter: () => {
          late.abort();
          this.#enter(holder);
          resolve();
        },
      };
      this.#waiting.push(waiting);
      clock.sleep(waitMs, late.signal).then(
        () => {
          this.#waiting.splice(this.#waiting.indexOf(waiting), 1);
          reject(busy());
        },
        () => undefined,
      );
    });
  }
}

const busy = (): Error => fault("upload.busy", { retryAfterMs: RETRY_AFTER_MS });
