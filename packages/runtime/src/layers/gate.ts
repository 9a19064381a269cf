/** Lets so many through at once; the others wait for their turn. */
export class Gate {
  readonly #most: number;
  readonly #queue: (() => void)[] = [];
  #inside = 0;

  constructor(most: number) {
    this.#most = most;
  }

  async run<T>(work: () => Promise<T>): Promise<T> {
    // Whoever leaves hands its place over: a newcomer cannot slip in between.
    if (this.#inside >= this.#most) await new Promise<void>((resolve) => this.#queue.push(resolve));
    else this.#inside++;
    try {
      return await work();
    } finally {
      const next = this.#queue.shift();
      if (next === undefined) this.#inside--;
      else next();
    }
  }
}
