import { fault } from "@banyan/contracts";
import type { Database } from "@banyan/db";
import type { Clock, Logger } from "@banyan/kernel";
import { noteWritten } from "../store/record-usage.ts";
import type { Place } from "./place.ts";

/** Soon enough to know what was replaced, and not once for each of many small files. */
const MEASURE_AFTER_MS = 10_000;

export interface RoomDeps {
  db: Database;
  clock: Clock;
  logger: Logger;
}

/** What one writing takes of what is left. */
export interface Claim {
  /** Throws volume.no_space where so much would be too much; takes nothing. */
  foresee(bytes: number): void;
  /** The same, and it is taken. */
  take(bytes: number): void;
  /** The end of the writing: what it took counts as used. Never rejects. */
  settle(): Promise<void>;
}

/** What is left of quotas that no kernel keeps. Those who write at once share it. */
export class Room {
  readonly #deps: RoomDeps;
  /** Taken by writings under way, by volume. */
  readonly #taken = new Map<string, number>();

  constructor(deps: RoomDeps) {
    this.#deps = deps;
  }

  claim({ volumeId, leftBytes }: Place): Claim {
    let own = 0;
    const foresee = (bytes: number): void => {
      if (leftBytes === null || !(bytes > 0)) return;
      const left = leftBytes - (this.#taken.get(volumeId) ?? 0);
      if (bytes > left) throw fault("volume.no_space", { volumeId, leftBytes: Math.max(left, 0) });
    };
    const count = (bytes: number): void => {
      const taken = (this.#taken.get(volumeId) ?? 0) + bytes;
      if (taken > 0) this.#taken.set(volumeId, taken);
      else this.#taken.delete(volumeId);
    };
    return {
      foresee,
      take(bytes) {
        foresee(bytes);
        own += bytes;
        count(bytes);
      },
      settle: async () => {
        const { db, clock, logger } = this.#deps;
        // Counted by the kernel otherwise.
        if (leftBytes !== null && own > 0) {
          const measureAt = new Date(clock.now() + MEASURE_AFTER_MS);
          await noteWritten(db, volumeId, own, measureAt).catch((err) => logger.warn({ err, volumeId }, "what was written is not noted"));
        }
        count(-own);
        own = 0;
      },
    };
  }
}
