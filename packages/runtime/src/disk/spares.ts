import { mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { newId } from "@banyan/kernel";

/** As many as a burst of creates may want at once. An empty disk takes some 32 KB. */
const SPARES_PER_LIMIT = 32;
/** More are made when fewer than this are left: in one go, so that most creates have the helper to themselves. */
const REFILL_BELOW = SPARES_PER_LIMIT / 2;
/** Spares are kept for the limits that were asked for last. */
const LIMITS_MAX = 3;

export interface SpareMaker {
  create(path: string, limitMb: number): Promise<void>;
  delete(path: string): Promise<void>;
}

/** Empty disks made ahead: a create then only renames one, instead of waiting for the helper to make it. */
export class SpareDisks {
  readonly #directory: string;
  readonly #maker: SpareMaker;
  /** By limit, the one asked for longest ago first. */
  readonly #spares = new Map<number, string[]>();
  #filling: Promise<void> | null = null;

  constructor(directory: string, maker: SpareMaker) {
    this.#directory = directory;
    this.#maker = maker;
    mkdirSync(directory, { recursive: true, mode: 0o700 });
  }

  /** Removes those of an earlier process: which limit they have is not known any more. */
  async clear(): Promise<void> {
    for (const name of readdirSync(this.#directory)) await this.#maker.delete(join(this.#directory, name));
  }

  /** A spare with this limit, which is the caller's now; or null. More are made when there is time. */
  take(limitMb: number): string | null {
    const spares = this.#spares.get(limitMb) ?? [];
    this.#spares.delete(limitMb);
    this.#spares.set(limitMb, spares);
    const taken = spares.pop() ?? null;
    if (spares.length < REFILL_BELOW) {
      this.#filling ??= this.#fill(limitMb).finally(() => {
        this.#filling = null;
      });
    }
    return taken;
  }

  /** Resolves when what was to be made is made. A spare that cannot be made is tried again with the next create. */
  async settled(): Promise<void> {
    await this.#filling;
  }

  async #fill(limitMb: number): Promise<void> {
    try {
      const spares = this.#spares.get(limitMb);
      while (spares !== undefined && spares.length < SPARES_PER_LIMIT) {
        const path = join(this.#directory, newId("req"));
        await this.#maker.create(path, limitMb);
        spares.push(path);
      }
      const [oldest] = this.#spares;
      if (oldest === undefined || this.#spares.size <= LIMITS_MAX) return;
      this.#spares.delete(oldest[0]);
      for (const path of oldest[1]) await this.#maker.delete(path);
    } catch {
      // The create that needs one makes its own, and says what is wrong.
    }
  }
}
