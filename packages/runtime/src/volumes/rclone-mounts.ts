import { spawn } from "node:child_process";
import { mkdirSync } from "node:fs";
import { readdir, readFile, rm, rmdir, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { tryCommand } from "../host/command.ts";
import { mountAt, readMounts } from "../host/mounts.ts";
import type { ObjectMounts, ObjectSource } from "./object-mounts.ts";
import { mountArgs, objectsUnreachable, rcloneEnvironment, rcloneLack } from "./rclone.ts";

const MOUNT_TIMEOUT_MS = 20_000;
const LOOK_TIMEOUT_MS = 3_000;
const POLL_MS = 25;
/** A mount that nobody holds stays so long, for the next sandbox; and longer while something of it is not in the store yet. */
const KEEP_MS = 60_000;
const FLUSH_MS_MAX = 600_000;
const FS_TYPE = /^fuse\.rclone$/;

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
  ready: Promise<string>;
  /** Set while nobody holds it. */
  leaving: NodeJS.Timeout | null;
}

/**
 * An rclone for each object volume in use, in a process group of its own: it outlives a killed agent, whose successor finds its mount again. A sandbox
 * holds the mount by its own bind of it; what is written is in the store before an unused mount goes.
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

  open(source: ObjectSource): Promise<string> {
    const held = this.#held.get(source.volumeId) ?? this.#begin(source.volumeId, () => this.#mount(source));
    held.holders++;
    if (held.leaving !== null) clearTimeout(held.leaving);
    held.leaving = null;
    // The one that found it broken mounts it anew; who shares it waits for the same.
    return held.ready.catch((error) => {
      held.holders--;
      if (this.#held.get(source.volumeId) === held) this.#held.delete(source.volumeId);
      throw error;
    });
  }

  release(volumeId: string): void {
    const held = this.#held.get(volumeId);
    if (held === undefined || held.holders === 0) return;
    held.holders--;
    if (held.holders === 0) this.#leaveLater(volumeId, held, performance.now());
  }

  async adopt(counts: ReadonlyMap<string, number>): Promise<void> {
    for (const mountPoint of this.#mountPoints()) {
      const volumeId = basename(mountPoint);
      const holders = counts.get(volumeId) ?? 0;
      const held = this.#begin(volumeId, async () => mountPoint);
      held.holders = holders;
      if (holders === 0) this.#leaveLater(volumeId, held, performance.now());
    }
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    for (const [volumeId, held] of this.#held) {
      if (held.leaving !== null) clearTimeout(held.leaving);
      if (held.holders > 0) continue;
      await held.ready.then(
        () => this.#unmount(volumeId),
        () => {},
      );
    }
  }

  #begin(volumeId: string, mount: () => Promise<string>): Held {
    const held: Held = { holders: 0, ready: mount(), leaving: null };
    held.ready.catch(() => {});
    this.#held.set(volumeId, held);
    return held;
  }

  #mountPoints(): string[] {
    const found = readMounts().filter(({ fsType, mountPoint }) => FS_TYPE.test(fsType) && dirname(mountPoint) === this.#mounts);
    return [...new Set(found.map(({ mountPoint }) => mountPoint))];
  }

  async #mount({ volumeId, remote }: ObjectSource): Promise<string> {
    const { directory, cacheMb } = this.#options;
    const mountPoint = join(this.#mounts, volumeId);
    await this.#going.get(volumeId);
    if (await this.#isUsable(mountPoint)) return mountPoint;
    const logPath = join(directory, "logs", volumeId);
    const cacheDir = join(directory, "cache", volumeId);
    for (const path of [mountPoint, cacheDir]) mkdirSync(path, { recursive: true, mode: 0o700 });
    await writeFile(logPath, "", { mode: 0o600 });
    const env = await rcloneEnvironment(remote);
    const args = mountArgs({ remote, mountPoint, cacheDir, cacheMb, logPath });
    const child = spawn("rclone", args, { detached: true, stdio: "ignore", env, cwd: "/" });
    const ended = new Promise<never>((_, reject) => {
      child.once("error", ({ message }) => reject(objectsUnreachable(message)));
      child.once("exit", () => {
        readFile(logPath, "utf8").then(
          (log) => reject(objectsUnreachable(log.trim().split("\n").at(-1) || "rclone ended")),
          () => reject(objectsUnreachable("rclone ended")),
        );
      });
    });
    ended.catch(() => {});
    child.unref();
    try {
      await Promise.race([ended, mounted(mountPoint)]);
      return mountPoint;
    } catch (error) {
      if (child.exitCode === null) child.kill("SIGTERM");
      throw error;
    }
  }

  /** A mount whose rclone has died is taken away: all that is asked of it fails for ever. */
  async #isUsable(mountPoint: string): Promise<boolean> {
    if (!FS_TYPE.test(mountAt(mountPoint)?.fsType ?? "")) return false;
    const { exitCode } = await tryCommand("stat", ["--format=%i", mountPoint], { timeoutMs: LOOK_TIMEOUT_MS });
    if (exitCode === 0) return true;
    await tryCommand("umount", ["--lazy", mountPoint]);
    return false;
  }

  #leaveLater(volumeId: string, held: Held, sinceMs: number): void {
    if (this.#isClosed) return;
    held.leaving = setTimeout(() => {
      this.#leave(volumeId, held, sinceMs).catch((error) => this.#options.warn("an object volume could not be unmounted", volumeId, error));
    }, this.#options.keepMs ?? KEEP_MS);
    held.leaving.unref();
  }

  async #leave(volumeId: string, held: Held, sinceMs: number): Promise<void> {
    if (performance.now() - sinceMs < FLUSH_MS_MAX && (await this.#hasUnsent(volumeId))) return this.#leaveLater(volumeId, held, sinceMs);
    if (held.holders > 0 || this.#held.get(volumeId) !== held) return;
    this.#held.delete(volumeId);
    const going = this.#unmount(volumeId).finally(() => this.#going.delete(volumeId));
    this.#going.set(volumeId, going);
    await going;
  }

  /** What is still unsent stays in the cache: the next mount of the volume on this host sends it. */
  async #unmount(volumeId: string): Promise<void> {
    const mountPoint = join(this.#mounts, volumeId);
    const { exitCode } = await tryCommand("umount", [mountPoint]);
    if (exitCode !== 0) await tryCommand("umount", ["--lazy", mountPoint]);
    if (!(await this.#hasUnsent(volumeId))) {
      for (const name of ["cache", "logs"]) await rm(join(this.#options.directory, name, volumeId), { recursive: true, force: true });
    }
    await rmdir(mountPoint).catch(() => {});
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

async function mounted(mountPoint: string): Promise<void> {
  for (let waitedMs = 0; waitedMs < MOUNT_TIMEOUT_MS; waitedMs += POLL_MS) {
    if (FS_TYPE.test(mountAt(mountPoint)?.fsType ?? "")) return;
    await sleep(POLL_MS);
  }
  throw objectsUnreachable(`not mounted within ${MOUNT_TIMEOUT_MS} ms`);
}
