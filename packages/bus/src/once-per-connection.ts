import type { Link } from "./link.ts";

/**
 * Keeps what `make` answered for as long as the connection lasts: a server that comes back may have lost its store, and then streams and
 * buckets have to be made again. A failure is not kept.
 */
export function oncePerConnection<T>(link: Link, make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  link.onStatus(() => {
    made = undefined;
  });
  return async () => {
    const mine = made ?? make();
    made = mine;
    try {
      return await mine;
    } catch (error) {
      if (made === mine) made = undefined;
      throw error;
    }
  };
}
