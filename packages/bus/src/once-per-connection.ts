import type { Link } from "./link.ts";

export interface OncePerConnection<T> {
  get(): Promise<T>;
  /** What was kept has turned out to be gone: make it anew when it is needed next. */
  forget(): void;
}

/**
 * Keeps what `make` answered for as long as the connection lasts: a server that comes back may have lost its store, and then streams and
 * buckets have to be made again. A failure is not kept.
 */
export function oncePerConnection<T>(link: Link, make: () => Promise<T>): OncePerConnection<T> {
  let made: Promise<T> | undefined;
  const forget = (): void => {
    made = undefined;
  };
  link.onStatus(forget);
  return {
    forget,
    async get() {
      const mine = made ?? make();
      made = mine;
      try {
        return await mine;
      } catch (error) {
        if (made === mine) made = undefined;
        throw error;
      }
    },
  };
}
