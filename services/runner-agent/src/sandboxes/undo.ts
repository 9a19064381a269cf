import type { Logger } from "@banyan/kernel";

/** What must be taken back when an operation fails half-way, the last first. One that fails does not keep the others from running. */
export class Undo {
  readonly #logger: Logger;
  readonly #steps: (() => void | Promise<void>)[] = [];

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  add(step: () => void | Promise<void>): void {
    this.#steps.push(step);
  }

  async run(): Promise<void> {
    for (let step = this.#steps.pop(); step !== undefined; step = this.#steps.pop()) {
      try {
        await step();
      } catch (err) {
        this.#logger.error({ err }, "a step could not be undone");
      }
    }
  }
}
