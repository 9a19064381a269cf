import { mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { newId } from "@banyan/kernel";

/** As many as a burst of creates may want at once; twice as many from then on where they were too few. An empty disk takes some 32 KB. */
const SPARES_MIN = 32;
const SPARES_MAX = 256;
/** More are made when no disk was asked for during so long: a burst has the helper to itself. Where disks are asked for all the time, after so many rests. */
const QUIET_MS = 50;
const RESTS_MAX = 4;
/** Spares are kept for the limits that were asked for last. */
const LIMITS_MAX = 3;

export interface SpareMaker {
  create(path: string, limitMb: number): Promise<void>;
  delete(path: string): Promise<void>;
}

interface Spares {
  paths: string[];
  target: number;
  /** Since `target` was changed: with so many there were, running out tells that they are too few. */
  wasFull: boolean;
}

/** Empty disks made ahead: a create then only renames one, instead of waiting for the helper to make it. */
export class SpareDisks {
  readonly #directory: string;
  readonly #maker: SpareMaker;
  /** By limit, the one asked for longest ago first. */
  readonly #spares = new Map<number, Spares>();
  #filling: Promise<void> | null = null;
  #takenAt = Number.NEGATIVE_INFINITY;

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
    const spares = this.#spares.get(limitMb) ?? { paths: [], target: SPARES_MIN, wasFull: false };
    this.#spares.delete(limitMb);
    this.#spares.set(limitMb, spares);
    this.#takenAt = performance.now();
    const taken = spares.paths.pop() ?? null;
    if (taken === null && spares.wasFull) {
      spares.target = Math.min(2 * spares.target, SPARES_MAX);
      spares.wasFull = false;
    }
    if (spares.paths.length < spares.target / 2) {
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

  async #rest(): Promise<void> {
    for (let rests = 0; rests < RESTS_MAX; rests++) {
      const restMs = Math.ceil(this.#takenAt + QUIET_MS - performance.now());
      if (restMs <= 0) return;
      await sleep(restMs);
    }
  }

  async #fill(limitMb: number): Promise<void> {
    try {
      await this.#rest();
      const spares = this.#spares.get(limitMb);
      while (spares !== undefined && spares.paths.length < spares.target) {
        const path = join(this.#directory, newId("req"));
        await this.#maker.create(path, limitMb);
        spares.paths.push(path);
        spares.wasFull = spares.paths.length >= spares.target;
      }
      const [oldest] = this.#spares;
      if (oldest === undefined || this.#spares.size <= LIMITS_MAX) return;
      this.#spares.delete(oldest[0]);
      for (const path of oldest[1].paths) await this.#maker.delete(path);
    } catch {
      // The create that needs one makes its own, and says what is wrong.
    }
  }
}
