/** The arithmetic of refilling a pool: how many slots to make now, when to try again, what to tell who waits. Pure. */
export interface RefillBounds {
  /** Free slots to keep ready. */
  target: number;
  /** Slots made at once. */
  parallel: number;
  /** Slots begun per second. */
  perS: number;
  /** Slots that may exist in all: free, being made and in use. */
  slotsMax: number;
  /** After a claim, so long the machine is left to those who are being served, unless the pool runs low. */
  quietMs: number;
}

export interface RefillState {
  free: number;
  starting: number;
  /** Handed out, and not yet destroyed. */
  taken: number;
  waiting: number;
}

const BACKOFF_BASE_MS = 250;
const BACKOFF_MAX_MS = 30_000;
const RETRY_AFTER_MIN_MS = 100;
const RETRY_AFTER_MAX_MS = 30_000;
/** Assumed until the first slots were made. */
const MAKE_MS_ASSUMED = 400;
const SMOOTHING = 0.2;
/** The share of the target at which the pool is low, and how many slots that is at least. */
const LOW_WATER = 0.1;
const LOW_WATER_MIN = 2;

/** How many more slots to begin now, the rate left aside. */
export function slotsWanted(bounds: RefillBounds, state: RefillState): number {
  const missing = bounds.target + state.waiting - state.free - state.starting;
  const room = bounds.slotsMax - state.free - state.starting - state.taken;
  return Math.max(0, Math.min(missing, room, bounds.parallel - state.starting));
}

/**
 * How long making and destroying slots should still wait. A container engine takes whole cores for each slot; a burst that the pool can serve
 * is served before they are taken from it.
 */
export function restMs(bounds: RefillBounds, state: Pick<RefillState, "free" | "waiting">, sinceClaimMs: number): number {
  if (state.waiting > 0 || state.free <= Math.max(LOW_WATER_MIN, bounds.target * LOW_WATER)) return 0;
  return Math.max(0, bounds.quietMs - sinceClaimMs);
}

/** How long to leave the container engine alone after so many failures in a row. */
export function backoffMs(failures: number): number {
  return failures === 0 ? 0 : Math.min(BACKOFF_MAX_MS, BACKOFF_BASE_MS * 2 ** (failures - 1));
}

/** Remembers how long slots take to make. */
export class RefillPace {
  #makeMs = MAKE_MS_ASSUMED;

  record(makeMs: number): void {
    this.#makeMs += SMOOTHING * (makeMs - this.#makeMs);
  }

  /** Slots per second that the pool can make. */
  ratePerS(bounds: RefillBounds): number {
    return Math.min(bounds.perS, (bounds.parallel * 1_000) / this.#makeMs);
  }

  /** When a slot should be free for one who comes behind all who wait now. */
  retryAfterMs(bounds: RefillBounds, waiting: number): number {
    const ms = Math.ceil(((waiting + 1) * 1_000) / this.ratePerS(bounds));
    return Math.min(RETRY_AFTER_MAX_MS, Math.max(RETRY_AFTER_MIN_MS, ms));
  }
}
