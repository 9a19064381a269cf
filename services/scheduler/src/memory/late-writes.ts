/** Writes that may be waiting for the database. Beyond it a write is given up: the deadline of its row brings the loops to it. */
const LATE_MAX = 10_000;

interface Late {
  orgId: string;
  write: () => Promise<void>;
  /** The try under way, or null after a failed one. */
  running: Promise<void> | null;
  /** Starts the first try. */
  timer: NodeJS.Timeout | undefined;
}

/**
 * Writes that follow an answer which is already true: the node runs the sandbox and its row exists, only the row's state lags.
 * Whoever reads rows through this process waits for them first, so what was answered is what is read.
 */
export class LateWrites {
  readonly #late = new Map<string, Late>();
  readonly #onFailure: (id: string, error: unknown) => void;

  constructor(onFailure: (id: string, error: unknown) => void) {
    this.#onFailure = onFailure;
  }

  /** Writes after `delayMs`, or as soon as somebody waits for it. A write that fails is kept and tried again by `settle` and by the loop. */
  add(id: string, orgId: string, write: () => Promise<void>, delayMs = 0): void {
    if (this.#late.size >= LATE_MAX) {
      this.#onFailure(id, new Error(`more than ${LATE_MAX} writes wait for the database`));
      return;
    }
    const late: Late = { orgId, write, running: null, timer: undefined };
    this.#late.set(id, late);
    const begin = () => void this.#try(id, late).catch(() => {});
    if (delayMs > 0) late.timer = setTimeout(begin, delayMs);
    else begin();
  }

  /** Resolves when nothing is outstanding for this sandbox; rejects if the database refuses again. */
  async settle(id: string): Promise<void> {
    const late = this.#late.get(id);
    if (late !== undefined) await this.#finish(id, late);
  }

  async settleOrg(orgId: string): Promise<void> {
    if (this.#late.size === 0) return;
    const own = [...this.#late].filter(([, late]) => late.orgId === orgId);
    await Promise.all(own.map(([id, late]) => this.#finish(id, late)));
  }

  /** The ids whose write failed and is not being tried now. */
  failed(): string[] {
    return [...this.#late].flatMap(([id, late]) => (late.running === null && late.timer === undefined ? [id] : []));
  }

  /** Begins what has not begun, and waits for the tries under way, whatever comes of them. */
  async idle(): Promise<void> {
    await Promise.allSettled([...this.#late].map(([id, late]) => (late.timer === undefined ? late.running : this.#try(id, late))));
  }

  async #finish(id: string, late: Late): Promise<void> {
    await (late.running ?? this.#try(id, late));
  }

  #try(id: string, late: Late): Promise<void> {
    clearTimeout(late.timer);
    late.timer = undefined;
    const running = late.write().then(
      () => {
        if (this.#late.get(id) === late) this.#late.delete(id);
      },
      (error) => {
        late.running = null;
        this.#onFailure(id, error);
        throw error;
      },
    );
    late.running = running;
    return running;
  }
}
