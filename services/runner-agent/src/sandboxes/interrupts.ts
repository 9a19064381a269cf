import { fault } from "@banyan/contracts";

interface Waiting {
  epoch: number;
  controller: AbortController;
}

/** Lets a stop or a delete cut short what the operation before it waits for: a slot, or the grace of a stop. Only of its own epoch or an older one. */
export class Interrupts {
  readonly #waiting = new Map<string, Waiting>();
  /** Deletes that wait for their turn: what comes before them does not wait for anything. */
  readonly #urgent = new Set<{ sandboxId: string; epoch: number }>();

  /** Runs what waits; its signal is aborted when somebody interrupts. */
  async waitFor<T>(sandboxId: string, epoch: number, wait: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const waiting = { epoch, controller: new AbortController() };
    this.#waiting.set(sandboxId, waiting);
    for (const urgent of this.#urgent) if (urgent.sandboxId === sandboxId) this.interrupt(sandboxId, urgent.epoch);
    try {
      return await wait(waiting.controller.signal);
    } finally {
      this.#waiting.delete(sandboxId);
    }
  }

  interrupt(sandboxId: string, epoch: number): void {
    const waiting = this.#waiting.get(sandboxId);
    if (waiting === undefined || epoch < waiting.epoch) return;
    waiting.controller.abort(fault("sandbox.start_failed", { sandboxId }, { message: "the sandbox was stopped or deleted meanwhile" }));
  }

  /** Interrupts what waits now, and what would wait until the operation has ended. */
  async whileUrgent<T>(sandboxId: string, epoch: number, operation: () => Promise<T>): Promise<T> {
    const urgent = { sandboxId, epoch };
    this.#urgent.add(urgent);
    this.interrupt(sandboxId, epoch);
    try {
      return await operation();
    } finally {
      this.#urgent.delete(urgent);
    }
  }
}
