import type { Clock } from "@banyan/kernel";
import { isAlive } from "../host/proc.ts";
import type { Slot } from "./slot.ts";

const ROUND_MS = 100;
/** Each round looks at one in so many slots: a death is seen within a second, and no round holds up what else is served. */
const SHARE_OF_A_ROUND = 10;

/** Sees by /proc that a slot has ended, where no engine tells. Each death is reported once. */
export class PolledDeaths {
  readonly #slots: ReadonlyMap<string, Slot>;
  readonly #clock: Clock;

  constructor(slots: ReadonlyMap<string, Slot>, clock: Clock) {
    this.#slots = slots;
    this.#clock = clock;
  }

  subscribe(report: (slotId: string) => void): () => void {
    const stop = new AbortController();
    void this.#watch(report, stop.signal);
    return () => stop.abort();
  }

  async #watch(report: (slotId: string) => void, signal: AbortSignal): Promise<void> {
    let reported = new Set<string>();
    let due: Slot[] = [];
    while (!signal.aborted) {
      if (due.length === 0) {
        due = [...this.#slots.values()];
        reported = new Set([...reported].filter((id) => this.#slots.has(id)));
      }
      for (const slot of due.splice(0, Math.ceil(this.#slots.size / SHARE_OF_A_ROUND))) {
        if (isAlive(slot) || reported.has(slot.id)) continue;
        reported.add(slot.id);
        report(slot.id);
      }
      await this.#clock.sleep(ROUND_MS, signal).catch(() => undefined);
    }
  }
}
