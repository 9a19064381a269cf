/** A stream of numbers that a seed determines: what one run did, the same seed does again. */
export interface Random {
  /** At least 0, below 1. */
  next(): number;
  /** A whole number from `min` to `max`, both included. */
  int(min: number, max: number): number;
  chance(share: number): boolean;
  pick<T>(from: readonly T[]): T;
  /** A name made of letters that ids may hold. */
  text(length: number): string;
}

const ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz";

/** mulberry32: small, and good enough to shuffle events. */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const int = (min: number, max: number): number => min + Math.floor(next() * (max - min + 1));
  return {
    next,
    int,
    chance: (share) => next() < share,
    pick(from) {
      const picked = from[int(0, from.length - 1)];
      if (picked === undefined) throw new RangeError("nothing to pick from");
      return picked;
    },
    text: (length) => Array.from({ length }, () => ALPHABET[int(0, ALPHABET.length - 1)]).join(""),
  };
}
