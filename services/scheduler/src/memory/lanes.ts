import { fault } from "@banyan/contracts";

/** Commands that may wait for one sandbox. */
const LANE_DEPTH_MAX = 32;

interface Lane {
  tail: Promise<unknown>;
  depth: number;
  /** Ends what is under way and what waits, in favour of a delete. */
  ending: AbortController;
  /** What is under way is a delete: nothing goes before it. */
  final: boolean;
}

/** One command at a time for each sandbox, in order of arrival; a delete goes first. */
export class Lanes {
  readonly #lanes = new Map<string, Lane>();

  run<T>(id: string, command: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const lane = this.#lanes.get(id);
    if (lane !== undefined && lane.depth >= LANE_DEPTH_MAX) {
      return Promise.reject(fault("sandbox.version_conflict", { waiting: lane.depth, retryAfterMs: 100 }));
    }
    return this.#enter(id, lane ?? freshLane(false), command);
  }

  /** Aborts what is under way for this sandbox and what waits, and runs when they have ended. */
  preempt<T>(id: string, command: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const lane = this.#lanes.get(id);
    if (lane?.final) return this.run(id, command);
    lane?.ending.abort(fault("sandbox.version_conflict", { reason: "deleted" }));
    return this.#enter(id, { ...freshLane(true), tail: lane?.tail ?? Promise.resolve(), depth: lane?.depth ?? 0 }, command);
  }

  isBusy(id: string): boolean {
    return this.#lanes.has(id);
  }

  /** Resolves when all that is under way now has ended. */
  async idle(): Promise<void> {
    await Promise.allSettled([...this.#lanes.values()].map((lane) => lane.tail));
  }

  #enter<T>(id: string, before: Lane, command: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const { signal } = before.ending;
    const result = before.tail.then(() => {
      signal.throwIfAborted();
      return command(signal);
    });
    const lane: Lane = { ...before, depth: before.depth + 1, tail: Promise.resolve() };
    const leave = (): void => {
      const last = this.#lanes.get(id);
      if (last === lane) this.#lanes.delete(id);
      else if (last !== undefined) last.depth--;
    };
    // The lane goes on whatever came of the command: its caller has the error.
    lane.tail = result.then(leave, leave);
    this.#lanes.set(id, lane);
    return result;
  }
}

const freshLane = (final: boolean): Lane => ({ tail: Promise.resolve(), depth: 0, ending: new AbortController(), final });
