interface Due {
  at: number;
  order: number;
  run(): void;
}

/** Simulated time: what is to happen, in the order of its time. Nothing else moves it. */
export class Timeline {
  #now: number;
  #order = 0;
  /** A binary heap, the next one first. */
  readonly #heap: Due[] = [];

  constructor(startMs: number) {
    this.#now = startMs;
  }

  get now(): number {
    return this.#now;
  }

  after(ms: number, run: () => void): void {
    this.#heap.push({ at: this.#now + Math.max(0, ms), order: this.#order++, run });
    let i = this.#heap.length - 1;
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (!this.#isBefore(i, parent)) break;
      this.#swap(i, parent);
      i = parent;
    }
  }

  /** Lets the next thing happen. False: nothing is left. */
  step(): boolean {
    const [first] = this.#heap;
    const last = this.#heap.pop();
    if (first === undefined || last === undefined) return false;
    if (this.#heap.length > 0) {
      this.#heap[0] = last;
      this.#sink();
    }
    this.#now = first.at;
    first.run();
    return true;
  }

  #sink(): void {
    for (let i = 0; ; ) {
      let least = i;
      for (const child of [2 * i + 1, 2 * i + 2]) if (child < this.#heap.length && this.#isBefore(child, least)) least = child;
      if (least === i) return;
      this.#swap(i, least);
      i = least;
    }
  }

  #isBefore(i: number, j: number): boolean {
    const a = this.#at(i);
    const b = this.#at(j);
    return a.at < b.at || (a.at === b.at && a.order < b.order);
  }

  #swap(i: number, j: number): void {
    const kept = this.#at(i);
    this.#heap[i] = this.#at(j);
    this.#heap[j] = kept;
  }

  #at(i: number): Due {
    const due = this.#heap[i];
    if (due === undefined) throw new RangeError("beyond the heap");
    return due;
  }
}
