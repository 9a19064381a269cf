import { mkdirSync, readdirSync, rmdirSync } from "node:fs";
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

/** So many are made at once: they then wait for one commit of the filesystem together. */
const MADE_AT_ONCE_MAX = 8;
/** Where a disk is while it is made. */
const DRAFT_SUFFIX = ".new";

export interface SpareMaker {
  /** With inodes of none of the ranges in `beside`; answers its own. */
  create(path: string, limitMb: number, beside: ReadonlySet<number>): Promise<number>;
  delete(path: string): Promise<void>;
}

interface Spares {
  disks: { path: string; range: number }[];
  target: number;
  /** The ranges that the last one was not to have: those made next do not have them either. */
  beside: ReadonlySet<number>;
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
    for (const name of readdirSync(this.#directory)) {
      const path = join(this.#directory, name);
      if (!name.endsWith(DRAFT_SUFFIX)) {
        await this.#maker.delete(path);
        continue;
      }
      for (const inside of readdirSync(path)) await this.#maker.delete(join(path, inside));
      rmdirSync(path);
    }
  }

  /** A spare with this limit and another range than those, which is the caller's now; or null. More are made when there is time. */
  take(limitMb: number, beside: ReadonlySet<number>): string | null {
    const spares = this.#spares.get(limitMb) ?? { disks: [], target: SPARES_MIN, beside, wasFull: false };
    spares.beside = beside;
    this.#spares.delete(limitMb);
    this.#spares.set(limitMb, spares);
    this.#takenAt = performance.now();
    const at = spares.disks.findLastIndex(({ range }) => !beside.has(range));
    const taken = at < 0 ? null : (spares.disks.splice(at, 1)[0]?.path ?? null);
    if (taken === null && spares.wasFull) {
      spares.target = Math.min(2 * spares.target, SPARES_MAX);
      spares.wasFull = false;
    }
    if (suitingOf(spares) < spares.target / 2) {
      this.#filling ??= this.#fill(limitMb).finally(() => {
        this.#filling = null;
      });
    }
    return taken;
  }

  /** One that was not made ahead, which is the caller's too. */
  async make(limitMb: number, beside: ReadonlySet<number>): Promise<string> {
    return (await this.#make(limitMb, beside)).path;
  }

  /** Resolves when what was to be made is made. A spare that cannot be made is tried again with the next create. */
  async settled(): Promise<void> {
    await this.#filling;
  }

  async #make(limitMb: number, beside: ReadonlySet<number>): Promise<{ path: string; range: number }> {
    const path = join(this.#directory, newId("req"));
    return { path, range: await this.#maker.create(path, limitMb, beside) };
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
      while (spares !== undefined && suitingOf(spares) < spares.target && spares.disks.length < 2 * SPARES_MAX) {
        const count = Math.min(spares.target - suitingOf(spares), MADE_AT_ONCE_MAX);
        const made = await Promise.allSettled(Array.from({ length: count }, () => this.#make(limitMb, spares.beside)));
        for (const one of made) if (one.status === "fulfilled") spares.disks.push(one.value);
        if (made.some(({ status }) => status === "rejected")) return;
        spares.wasFull = suitingOf(spares) >= spares.target;
      }
      const [oldest] = this.#spares;
      if (oldest === undefined || this.#spares.size <= LIMITS_MAX) return;
      this.#spares.delete(oldest[0]);
      for (const { path } of oldest[1].disks) await this.#maker.delete(path);
    } catch {
      // The create that needs one makes its own, and says what is wrong.
    }
  }
}

function suitingOf({ disks, beside }: Spares): number {
  return disks.filter(({ range }) => !beside.has(range)).length;
}
