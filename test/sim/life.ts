import type { Network } from "./network.ts";
import type { SimNode } from "./node.ts";
import type { Timeline } from "./timeline.ts";

const CALL_TIMEOUT_MS = 8_000;

export interface LifeParts {
  timeline: Timeline;
  network: Network;
  nodes: ReadonlyMap<string, SimNode>;
  /** After each answer. */
  onAnswer(): void;
}

/** From one start of the scheduler to its crash: what is under way then comes to nothing. */
export class Life {
  readonly #parts: LifeParts;
  #isOver = false;

  constructor(parts: LifeParts) {
    this.#parts = parts;
  }

  end(): void {
    this.#isOver = true;
  }

  later(ms: number, run: () => void): void {
    this.#parts.timeline.after(ms, () => {
      if (!this.#isOver) run();
    });
  }

  every(ms: number, run: () => void): void {
    this.later(ms, () => {
      run();
      this.every(ms, run);
    });
  }

  /** Null: no answer came, and nobody knows whether it was done. */
  call<T>(nodeId: string, ask: (node: SimNode) => T, done: (answer: T | null) => void): void {
    const { network, nodes, onAnswer } = this.#parts;
    let settled = false;
    const settle = (answer: T | null): void => {
      if (settled) return;
      settled = true;
      done(answer);
      onAnswer();
    };
    network.carry(nodeId, () => {
      const node = nodes.get(nodeId);
      if (node === undefined || node.down) return;
      const answer = ask(node);
      network.carry(nodeId, () => {
        if (!this.#isOver) settle(answer);
      });
    });
    this.later(CALL_TIMEOUT_MS, () => settle(null));
  }
}
