import { existsSync, mkdirSync, readdirSync, renameSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { fault } from "@banyan/contracts";
import type { DiskDriver, DiskPaths } from "./driver.ts";

/** Directories of the host's own filesystem: works everywhere, enforces no limit. */
export class PlainDisk implements DiskDriver {
  readonly kind = "plain";
  readonly enforcesLimits = false;
  readonly #disks: string;
  readonly #trash: string;
  #trashed = 0;

  constructor(directory: string) {
    this.#disks = join(directory, "sandboxes");
    this.#trash = join(directory, "trash");
    mkdirSync(this.#disks, { recursive: true, mode: 0o700 });
    mkdirSync(this.#trash, { recursive: true, mode: 0o700 });
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
    renameSync(join(this.#disks, id), join(this.#trash, `${id}.${process.pid}.${this.#trashed++}`));
    await this.emptyTrash();
  }

  async emptyTrash(): Promise<void> {
    for (const name of readdirSync(this.#trash)) await rm(join(this.#trash, name), { recursive: true, force: true });
  }

  async limit(): Promise<void> {}

  async usageBytes(): Promise<null> {
    return null;
  }

  list(): string[] {
    return readdirSync(this.#disks);
  }
}
