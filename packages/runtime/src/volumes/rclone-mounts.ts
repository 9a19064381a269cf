import { mkdirSync } from "node:fs";
import { readdir, rm, rmdir, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { isAlive, type ProcessRef } from "@banyan/kernel";
import { tryCommand } from "../host/command.ts";
import { readMounts } from "../host/mounts.ts";
import type { ObjectMounts, ObjectSource } from "./object-mounts.ts";
import { rcloneLack } from "./rclone.ts";
import { findRclones, hasEnded, isMounted, startRclone } from "./rclone-process.ts";

/** A mount that nobody holds stays so long, for the next sandbox; and longer while something of it is not in the store yet. */
const KEEP_MS = 60_000;
const FLUSH_MS_MAX = 600_000;
/** What was written at last is on its way when all ends; what does not get there stays in the cache. */
const CLOSE_FLUSH_MS_MAX = 10_000;
const END_MS = 5_000;
const SWEEP_MS = 1_000;
const SWEEP_TRIES_MAX = 3_600;
const POLL_MS = 200;

export interface RcloneMountsOptions {
  /** Holds `mounts/<volume>`, `cache/<volume>` and `logs/<volume>`. */
  directory: string;
  /** Of each volume's cache. */
  cacheMb: number;
  keepMs?: number;
  warn: (message: string, volumeId: string, error: unknown) => void;
}

interface Held {
  holders: number;
  ready: Promise<void>;
  /** Null: while it is being mounted, and where that failed. */
  process: ProcessRef | null;
  isMounting: boolean;
  /** Set while nobody holds it. */
  leaving: NodeJS.Timeout | null;
}

/**
 * An rclone for each object volume in use, in a process group of its own: it outlives a killed agent, whose successor finds its mount again. A sandbox
 * holds the mount by its own bind of it; what is written is in the store before an unused mount goes. One that has died is mounted anew for the next
 * who asks; those who had it get ENOTCONN from theirs.
 */
export class RcloneMounts implements ObjectMounts {
  readonly #options: RcloneMountsOptions;
  readonly #mounts: string;
  readonly #held = new Map<string, Held>();
  /** Unmounts under way: whoever wants the volume again waits for them. */
  readonly #going = new Map<string, Promise<void>>();
  #isClosed = false;

  constructor(options: RcloneMountsOptions) {
    this.#options = options;
    this.#mounts = join(options.directory, "mounts");
    for (const name of ["mounts", "cache", "logs"]) mkdirSync(join(options.directory, name), { recursive: true, mode: 0o700 });
  }

  state(): { state: "ok" } | { state: "lost"; reason: string } {
    const lack = rcloneLack();
    return lack === null ? { state: "ok" } : { state: "lost", reason: lack };
  }

  async open(source: ObjectSource): Promise<string> {
    const { volumeId } = source;
    const held = this.#held.get(volumeId) ?? this.#hold(volumeId, null);
    held.holders++;
    if (held.leaving !== null) clearTimeout(held.leaving);
    held.leaving = null;
    if (!held.isMounting && !isServed(held.process)) this.#begin(held, source);
    try {
      await held.ready;
      return join(this.#mounts, volumeId);
    } catch (error) {
      this.release(volumeId);
      throw error;
    }
  }

  release(volumeId: string): void {
    const held = this.#held.get(volumeId);
    if (held === undefined || held.holders === 0) return;
    held.holders--;
    if (held.holders === 0) this.#leaveLater(volumeId, held, performance.now());
  }

  async adopt(counts: ReadonlyMap<string, number>): Promise<void> {
    const rclones = findRclones();
    const mounted = new Set(readMounts().flatMap(({ mountPoint }) => (dirname(mountPoint) === this.#mounts ? [mountPoint] : [])));
    for (const [mountPoint, { pid }] of rclones) {
      // Killed before it had mounted: nobody waits for it any more.
      if (dirname(mountPoint) === this.#mounts && !mounted.has(mountPoint)) process.kill(pid, "SIGKILL");
    }
    for (const volumeId of new Set([...[...mounted].map((path) => basename(path)), ...counts.keys()])) {
      const found = rclones.get(join(this.#mounts, volumeId)) ?? null;
      const held = this.#hold(volumeId, found);
      held.holders = counts.get(volumeId) ?? 0;
      if (held.holders === 0) this.#leaveLater(volumeId, held, performance.now());
    }
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await Promise.all(
      [...this.#held].map(async ([volumeId, held]) => {
        if (held.leaving !== null) clearTimeout(held.leaving);
        await held.ready.catch(() => {});
        if (held.holders > 0) return;
        for (let waitedMs = 0; waitedMs < CLOSE_FLUSH_MS_MAX && (await this.#hasUnsent(volumeId)); waitedMs += POLL_MS)
          await sleep(POLL_MS);
        await this.#unmount(volumeId, held);
      }),
    );
    await Promise.allSettled(this.#going.values());
  }

  #hold(volumeId: string, process: ProcessRef | null): Held {
    const held: Held = { holders: 0, ready: Promise.resolve(), process, isMounting: false, leaving: null };
    this.#held.set(volumeId, held);
    return held;
  }

  #begin(held: Held, source: ObjectSource): void {
    held.isMounting = true;
    held.process = null;
    held.ready = this.#mount(source)
      .then((process) => {
        held.process = process;
      })
      .finally(() => {
        held.isMounting = false;
      });
    held.ready.catch(() => {});
  }

  async #mount({ volumeId, remote }: ObjectSource): Promise<ProcessRef> {
    const { directory, cacheMb } = this.#options;
    await this.#going.get(volumeId);
    const mountPoint = join(this.#mounts, volumeId);
    // Of an rclone that has died: all that is asked of it fails for ever.
    if (isMounted(mountPoint)) await tryCommand("umount", ["--lazy", mountPoint]);
    const logPath = join(directory, "logs", volumeId);
    const cacheDir = join(directory, "cache", volumeId);
    for (const path of [mountPoint, cacheDir]) mkdirSync(path, { recursive: true, mode: 0o700 });
    await writeFile(logPath, "", { mode: 0o600 });
    return startRclone({ remote, mountPoint, cacheDir, cacheMb, logPath });
  }

  #leaveLater(volumeId: string, held: Held, sinceMs: number): void {
    if (this.#isClosed) return;
    held.leaving = setTimeout(() => {
      this.#leave(volumeId, held, sinceMs).catch((error) => this.#options.warn("an object volume could not be unmounted", volumeId, error));
    }, this.#options.keepMs ?? KEEP_MS);
    held.leaving.unref();
  }

  async #leave(volumeId: string, held: Held, sinceMs: number): Promise<void> {
    const isLate = performance.now() - sinceMs >= FLUSH_MS_MAX;
    if (isServed(held.process) && !isLate && (await this.#hasUnsent(volumeId))) return this.#stay(volumeId, held, sinceMs);
    if (held.holders > 0 || this.#held.get(volumeId) !== held || this.#isClosed) return;
    this.#held.delete(volumeId);
    const going = this.#unmount(volumeId, held).finally(() => this.#going.delete(volumeId));
    this.#going.set(
      volumeId,
      going.then(() => {}),
    );
    // Somebody stands in it, as a server of files does: it goes later.
    if (!(await going) && !this.#held.has(volumeId)) {
      this.#held.set(volumeId, held);
      this.#leaveLater(volumeId, held, sinceMs);
    }
  }

  #stay(volumeId: string, held: Held, sinceMs: number): void {
    if (held.holders === 0 && this.#held.get(volumeId) === held) this.#leaveLater(volumeId, held, sinceMs);
  }

  /** What is still unsent stays in the cache: the next mount of the volume on this host sends it. False: it is in use. */
  async #unmount(volumeId: string, { process }: Held): Promise<boolean> {
    const mountPoint = join(this.#mounts, volumeId);
    const served = isServed(process);
    if (isMounted(mountPoint)) {
      const { exitCode } = await tryCommand("umount", served ? [mountPoint] : ["--lazy", mountPoint]);
      if (exitCode !== 0) return false;
    }
    // A bind of it that outlives it keeps its rclone, which needs its cache; so does a container that starts, for a moment.
    if (process === null || (await hasEnded(process, END_MS))) await this.#sweep(volumeId);
    else this.#sweepLater(volumeId, process, 1);
    await rmdir(mountPoint).catch(() => {});
    return true;
  }

  async #sweep(volumeId: string): Promise<void> {
    if (await this.#hasUnsent(volumeId)) return;
    for (const name of ["cache", "logs"]) await rm(join(this.#options.directory, name, volumeId), { recursive: true, force: true });
  }

  /** Unless somebody has mounted it anew by then. */
  #sweepLater(volumeId: string, process: ProcessRef, tries: number): void {
    const timer = setTimeout(() => {
      if (this.#held.has(volumeId) || this.#going.has(volumeId)) return;
      if (!isServed(process)) this.#sweep(volumeId).catch((error) => this.#options.warn("a cache stays", volumeId, error));
      else if (tries < SWEEP_TRIES_MAX) this.#sweepLater(volumeId, process, tries + 1);
    }, SWEEP_MS);
    timer.unref();
  }

  /** rclone notes in its cache which files the store does not have yet. */
  async #hasUnsent(volumeId: string): Promise<boolean> {
    const notes = join(this.#options.directory, "cache", volumeId, "vfsMeta");
    const present = await readdir(notes).catch(() => []);
    if (present.length === 0) return false;
    const { exitCode } = await tryCommand("grep", ["--recursive", "--quiet", '"Dirty": *true', notes]);
    return exitCode === 0;
  }
}

const isServed = (process: ProcessRef | null): boolean => process !== null && isAlive(process);
