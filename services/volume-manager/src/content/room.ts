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
}

/** Of one volume, while anybody writes. */
interface Ledger {
  writers: number;
  takenBytes: number;
  /** Of those: noted as used. */
  notedBytes: number;
}

/**
 * What is left of quotas that no kernel keeps. Those who write at once share it: what was taken and not yet noted when a writing looked up how much is
 * used, and all that was taken since, counts against it.
 */
export class Room {
  readonly #deps: RoomDeps;
  readonly #ledgers = new Map<string, Ledger>();

  constructor(deps: RoomDeps) {
    this.#deps = deps;
  }

  /** What the work takes counts as used once it is done; of work that fails nothing is kept. */
  async claim<T>(volumeId: string, find: () => Promise<Place>, work: (place: Place, claim: Claim) => Promise<T>): Promise<T> {
    const ledger = this.#ledgers.get(volumeId) ?? { writers: 0, takenBytes: 0, notedBytes: 0 };
    this.#ledgers.set(volumeId, ledger);
    ledger.writers++;
    // Before it is looked up what is used: what is noted in between counts twice rather than not at all.
    const { notedBytes } = ledger;
    let ownBytes = 0;
    let isKept = false;
    try {
      const place = await find();
      const { leftBytes } = place;
      const foresee = (bytes: number): void => {
        if (leftBytes === null || !(bytes > 0)) return;
        const left = leftBytes - (ledger.takenBytes - notedBytes);
        if (bytes > left) throw fault("volume.no_space", { volumeId, leftBytes: Math.max(left, 0) });
      };
      const take = (bytes: number): void => {
        foresee(bytes);
        // Counted by the kernel otherwise.
        if (leftBytes === null) return;
        ownBytes += bytes;
        ledger.takenBytes += bytes;
      };
      const done = await work(place, { foresee, take });
      isKept = true;
      return done;
    } finally {
      if (ownBytes > 0) await this.#note(volumeId, isKept ? ownBytes : 0);
      if (isKept) ledger.notedBytes += ownBytes;
      else ledger.takenBytes -= ownBytes;
      if (--ledger.writers === 0) this.#ledgers.delete(volumeId);
    }
  }

  /** Never rejects: the next measurement tells. */
  async #note(volumeId: string, bytes: number): Promise<void> {
    const { db, clock, logger } = this.#deps;
    const measureAt = new Date(clock.now() + MEASURE_AFTER_MS);
    await noteWritten(db, volumeId, bytes, measureAt).catch((err) => logger.warn({ err, volumeId }, "what was written is not noted"));
  }
}
