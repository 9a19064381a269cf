/** Lets the operations on one sandbox follow one another; those on different ones do not wait for each other. */
export class Turns {
  readonly #last = new Map<string, Promise<void>>();

  async take<T>(key: string, operation: () => Promise<T>): Promise<T> {
    const before = this.#last.get(key);
    let end = (): void => {};
    const mine = new Promise<void>((resolve) => {
      end = resolve;
    });
    this.#last.set(key, mine);
    try {
      // Nobody before: no turn of the event loop is spent on waiting.
      if (before !== undefined) await before;
      return await operation();
    } finally {
      if (this.#last.get(key) === mine) this.#last.delete(key);
      end();
    }
  }
}
