import { existsSync, mkdirSync, readdirSync, renameSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { fault } from "@banyan/contracts";
import type { AttachOperations } from "../slots/attach-helper.ts";
import type { DiskDriver, DiskPaths, Frozen } from "./driver.ts";
import { draftsIn, frozenDraft, keptIn } from "./frozen-names.ts";

/** A sandbox does not stand still for longer. */
const COPY_TIMEOUT_MS = 60_000;

/** Directories of the host's own filesystem: works everywhere, enforces no limit. */
export class PlainDisk implements DiskDriver {
  readonly kind = "plain";
  readonly enforcesLimits = false;
  readonly #disks: string;
  readonly #frozen: string;
  readonly #trash: string;
  readonly #attach: AttachOperations;
  #trashed = 0;

  constructor(directory: string, attach: AttachOperations) {
    this.#attach = attach;
    this.#disks = join(directory, "sandboxes");
    this.#frozen = join(directory, "frozen");
    this.#trash = join(directory, "trash");
    for (const path of [this.#disks, this.#frozen, this.#trash]) mkdirSync(path, { recursive: true, mode: 0o700 });
  }

  async create(id: string): Promise<DiskPaths> {
    try {
      mkdirSync(join(this.#disks, id), { mode: 0o700 });
    } catch (cause) {
      throw fault("sandbox.start_failed", { step: "disk", id }, { cause });
    }
    const paths = this.paths(id);
    mkdirSync(paths.upper, { mode: 0o755 });
    mkdirSync(paths.work, { mode: 0o700 });
    return paths;
  }

  has(id: string): boolean {
    return existsSync(join(this.#disks, id));
  }

  paths(id: string): DiskPaths {
    return { upper: join(this.#disks, id, "upper"), work: join(this.#disks, id, "work") };
  }

  /** Out of the way at once, removed when there is time: a large tree takes seconds. */
  async delete(id: string): Promise<void> {
    if (!this.has(id)) return;
    await this.#discard(join(this.#disks, id));
  }

  async #discard(path: string): Promise<void> {
    if (!existsSync(path)) return;
    renameSync(path, join(this.#trash, `${process.pid}.${this.#trashed++}`));
    await this.emptyTrash();
  }

  async emptyTrash(): Promise<void> {
    for (const name of readdirSync(this.#trash)) await rm(join(this.#trash, name), { recursive: true, force: true });
  }

  async limit(): Promise<void> {}

  async usageBytes(): Promise<null> {
    return null;
  }

  /** A copy: the sandbox stands still for as long as that takes, where the filesystem has no reflinks. */
  async freeze(id: string, freezer: string | null): Promise<Frozen> {
    const to = frozenDraft(this.#frozen);
    const argv = ["cp", "--archive", "--reflink=auto", this.paths(id).upper, to];
    const remove = () => this.#discard(to);
    try {
      const pausedMs = await this.#attach.freeze({ freezer, argv, timeoutMs: COPY_TIMEOUT_MS });
      return { directory: to, pausedMs, remove, keepAs: (name) => renameSync(to, this.keptPath(name)) };
    } catch (error) {
      await remove();
      throw error;
    }
  }

  async removeFrozen(): Promise<void> {
    for (const name of draftsIn(this.#frozen)) await this.#discard(join(this.#frozen, name));
  }

  kept(): string[] {
    return keptIn(this.#frozen);
  }

  keptPath(name: string): string {
    return join(this.#frozen, name);
  }

  async removeKept(name: string): Promise<void> {
    await this.#discard(this.keptPath(name));
  }

  list(): string[] {
    return readdirSync(this.#disks);
  }
}
