/** Slots on their way in or out: a list taken meanwhile says nothing of them. */
export class MovingSlots {
  readonly #moving = new Set<string>();
  readonly #lists = new Set<Set<string>>();

  /** From now until `work` has settled, the slot counts as moving, also for lists that were begun before. */
  async during<T>(id: string, work: () => Promise<T>): Promise<T> {
    this.#moving.add(id);
    for (const list of this.#lists) list.add(id);
    try {
      return await work();
    } finally {
      this.#moving.delete(id);
    }
  }

  /** `look` is given all that moved at any time since it began: a set that grows while it looks. */
  async listing<T>(look: (moving: ReadonlySet<string>) => Promise<T>): Promise<T> {
    const moving = new Set(this.#moving);
    this.#lists.add(moving);
    try {
      return await look(moving);
    } finally {
      this.#lists.delete(moving);
    }
  }
}
