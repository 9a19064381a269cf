import type { Database } from "@banyan/db";
import type { Clock, Logger } from "@banyan/kernel";
import { touchImage } from "../store/touch-image.ts";

/** An image that is used all the time is written down once in this while. */
const NOTE_EVERY_MS = 60_000;
const REMEMBERED_MAX = 10_000;

/** Notes when images were last used, coarsely and off the path of who uses them. */
export class Uses {
  readonly #db: Database;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #notedAt = new Map<string, number>();

  constructor(db: Database, clock: Clock, logger: Logger) {
    this.#db = db;
    this.#clock = clock;
    this.#logger = logger;
  }

  note(imageId: string): void {
    const now = this.#clock.now();
    if (now - (this.#notedAt.get(imageId) ?? 0) < NOTE_EVERY_MS) return;
    if (this.#notedAt.size >= REMEMBERED_MAX) this.#notedAt.clear();
    this.#notedAt.set(imageId, now);
    touchImage(this.#db, imageId, new Date(now)).catch((err) => this.#logger.debug({ err, imageId }, "a use was not noted"));
  }
}
