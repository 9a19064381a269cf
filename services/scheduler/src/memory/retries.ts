import { messageOf } from "@banyan/kernel";

const FIRST_DELAY_MS = 1_000;
const DELAY_MAX_MS = 60_000;
/** Beyond it the one that failed longest ago is forgotten, and with that tried again. */
const KEPT_MAX = 10_000;

interface Failure {
  /** Of whom this failure is told; a node. */
  of: string | null;
  reason: string;
  delayMs: number;
  /** Monotonic. */
  nextMs: number;
}

/** What failed, why, and when it is its turn again: each time after twice the wait. */
export class Retries {
  readonly #failures = new Map<string, Failure>();

  isDue(id: string, nowMs: number): boolean {
    return (this.#failures.get(id)?.nextMs ?? 0) <= nowMs;
  }

  /** `of` null: of whom it was before. */
  failed(id: string, of: string | null, error: unknown, nowMs: number): void {
    const before = this.#failures.get(id);
    const delayMs = before === undefined ? FIRST_DELAY_MS : Math.min(DELAY_MAX_MS, 2 * before.delayMs);
    this.#failures.delete(id);
    this.#failures.set(id, { of: of ?? before?.of ?? null, reason: reasonOf(error), delayMs, nextMs: nowMs + delayMs });
    const oldest = this.#failures.keys().next();
    if (this.#failures.size > KEPT_MAX && !oldest.done) this.#failures.delete(oldest.value);
  }

  done(id: string): void {
    this.#failures.delete(id);
  }

  /** Of one node, at most so many. */
  reasonsOf(of: string, max: number): { id: string; reason: string }[] {
    const found: { id: string; reason: string }[] = [];
    for (const [id, failure] of this.#failures) {
      if (found.length === max) break;
      if (failure.of === of) found.push({ id, reason: failure.reason });
    }
    return found;
  }

  /** Tried again at once, and no more told of. */
  forget(of: string): void {
    for (const [id, failure] of this.#failures) if (failure.of === of) this.#failures.delete(id);
  }
}

const reasonOf = (error: unknown): string => (error instanceof Error && "code" in error ? String(error.code) : messageOf(error));
