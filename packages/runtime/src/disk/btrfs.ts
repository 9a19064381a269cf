import { existsSync, mkdirSync, readdirSync, renameSync } from "node:fs";
import { join } from "node:path";
import { fault } from "@banyan/contracts";
import type { AttachOperations } from "../slots/attach-helper.ts";
import type { DiskDriver, DiskPaths, Frozen } from "./driver.ts";
import { draftsIn, frozenDraft, keptIn } from "./frozen-names.ts";
import { SpareDisks } from "./spares.ts";

const MB = 1024 * 1024;

/** A subvolume per disk, its limit a simple quota: enforced exactly, destroyed without walking it. */
export class BtrfsDisk implements DiskDriver {
  readonly kind = "btrfs";
  readonly enforcesLimits: boolean;
  readonly spares: SpareDisks;
  readonly #disks: string;
  readonly #frozen: string;
  readonly #attach: AttachOperations;

  constructor(directory: string, attach: AttachOperations, enforcesLimits: boolean) {
    this.#disks = join(directory, "sandboxes");
    this.#frozen = join(directory, "frozen");
    this.#attach = attach;
    this.enforcesLimits = enforcesLimits;
    for (const path of [this.#disks, this.#frozen]) mkdirSync(path, { recursive: true, mode: 0o700 });
    this.spares = new SpareDisks(join(directory, "spares"), {
      create: (path, limitMb) => this.#create(path, limitMb),
      delete: (path) => attach.diskDelete(path),
    });
  }

  async create(id: string, limitMb: number): Promise<DiskPaths> {
    const path = join(this.#disks, id);
    if (existsSync(path)) throw fault("sandbox.start_failed", { step: "disk", id }, { message: "the sandbox has a disk already" });
    try {
      const spare = this.spares.take(limitMb);
      if (spare !== null) renameSync(spare, path);
      else await this.#create(path, limitMb);
    } catch (cause) {
      throw fault("sandbox.start_failed", { step: "disk", id }, { cause });
    }
    return this.paths(id);
  }

  has(id: string): boolean {
    return existsSync(join(this.#disks, id));
  }

  paths(id: string): DiskPaths {
    return { upper: join(this.#disks, id, "upper"), work: join(this.#disks, id, "work") };
  }

  async delete(id: string): Promise<void> {
    if (this.has(id)) await this.#attach.diskDelete(join(this.#disks, id));
  }

  async limit(id: string, limitMb: number): Promise<void> {
    if (this.enforcesLimits) await this.#attach.diskLimit(join(this.#disks, id), limitMb * MB);
  }

  async usageBytes(id: string): Promise<number | null> {
    return this.enforcesLimits ? this.#attach.diskUsage(join(this.#disks, id)) : null;
  }

  /** A snapshot: its time does not grow with what is in the disk, and what it shares is charged to the sandbox until both are gone. */
  async freeze(id: string, freezer: string | null): Promise<Frozen> {
    const to = frozenDraft(this.#frozen);
    const pausedMs = await this.#attach.freeze({ freezer, path: join(this.#disks, id), to });
    const remove = () => this.#attach.diskDelete(to);
    // Within one directory: the kernel moves no read-only subvolume into another.
    return { directory: join(to, "upper"), pausedMs, remove, keepAs: (name) => renameSync(to, join(this.#frozen, name)) };
  }

  async removeFrozen(): Promise<void> {
    for (const name of draftsIn(this.#frozen)) await this.#attach.diskDelete(join(this.#frozen, name));
  }

  kept(): string[] {
    return keptIn(this.#frozen);
  }

  keptPath(name: string): string {
    return join(this.#frozen, name, "upper");
  }

  async removeKept(name: string): Promise<void> {
    const path = join(this.#frozen, name);
    if (existsSync(path)) await this.#attach.diskDelete(path);
  }

  list(): string[] {
    return readdirSync(this.#disks);
  }

  async #create(path: string, limitMb: number): Promise<void> {
    await this.#attach.diskCreate({ path, limitBytes: this.enforcesLimits ? limitMb * MB : 0 });
  }
}
