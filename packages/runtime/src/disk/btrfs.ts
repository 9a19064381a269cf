import { existsSync, mkdirSync, readdirSync, renameSync } from "node:fs";
import { join } from "node:path";
import { fault } from "@banyan/contracts";
import type { AttachOperations } from "../slots/attach-helper.ts";
import { type Blanks, rangeOf } from "./blanks.ts";
import type { DiskDriver, DiskPaths, Frozen } from "./driver.ts";
import { draftsIn, frozenDraft, keptIn } from "./frozen-names.ts";
import { SpareDisks } from "./spares.ts";

const MB = 1024 * 1024;

export interface BtrfsTraits {
  enforcesLimits: boolean;
  blanks: Blanks | null;
}

/** A subvolume per disk, its limit a simple quota: enforced exactly, destroyed without walking it. */
export class BtrfsDisk implements DiskDriver {
  readonly kind = "btrfs";
  readonly enforcesLimits: boolean;
  readonly spares: SpareDisks;
  readonly #disks: string;
  readonly #frozen: string;
  readonly #attach: AttachOperations;
  readonly #blanks: Blanks | null;

  constructor(directory: string, attach: AttachOperations, { enforcesLimits, blanks }: BtrfsTraits) {
    this.#disks = join(directory, "sandboxes");
    this.#frozen = join(directory, "frozen");
    this.#attach = attach;
    this.#blanks = blanks;
    this.enforcesLimits = enforcesLimits;
    for (const path of [this.#disks, this.#frozen]) mkdirSync(path, { recursive: true, mode: 0o700 });
    this.spares = new SpareDisks(join(directory, "spares"), {
      create: (path, limitMb, beside) => this.#create(path, limitMb, beside),
      delete: (path) => attach.diskDelete(path),
    });
  }

  async create(id: string, limitMb: number, below: readonly string[]): Promise<DiskPaths> {
    const path = join(this.#disks, id);
    if (existsSync(path)) throw fault("sandbox.start_failed", { step: "disk", id }, { message: "the sandbox has a disk already" });
    try {
      const beside = new Set(below.map(rangeOf).filter((range) => range > 0));
      renameSync(this.spares.take(limitMb, beside) ?? (await this.spares.make(limitMb, beside)), path);
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

  async #create(path: string, limitMb: number, beside: ReadonlySet<number>): Promise<number> {
    const blank = this.#blanks?.next(beside);
    await this.#attach.diskCreate({ path, limitBytes: this.enforcesLimits ? limitMb * MB : 0, blank: blank?.path });
    return blank?.range ?? 0;
  }
}
