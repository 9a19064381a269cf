import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { FrozenId, LayerRef, SandboxId, type StackLayer } from "@banyan/contracts";
import { type Logger, messageOf } from "@banyan/kernel";
import type { DiskDriver, Frozen, FrozenSource } from "@banyan/runtime";
import { z } from "zod";

/** A stack as other nodes know it; `of` names what was packed, by digests. */
const Packed = z.object({ of: z.string(), layer: LayerRef, skipped: z.array(z.string()).max(100) });
export type Packed = z.infer<typeof Packed>;

/** What is known of a frozen layer beside its files. */
const FrozenRecord = z.object({
  format: z.literal(1),
  frozenId: FrozenId,
  /** Whose files they are. */
  sandboxId: SandboxId,
  epoch: z.int(),
  way: z.enum(["stopped", "restack", "copy"]),
  pausedMs: z.number(),
  sizeBytes: z.int(),
  /** Unix ms. Until then it stays though nothing stands on it, unless it is released. */
  keepUntil: z.int(),
  released: z.boolean(),
  /** What was made of it for the blob store: alone, and as the top of a deep stack. */
  packed: z.array(Packed).max(8),
});
type FrozenRecord = z.infer<typeof FrozenRecord>;

const PACKED_MAX = 8;
const SUFFIX = ".json";
const DRAFT_SUFFIX = ".new";

export const frozenDigest = (frozenId: string): string => `frozen:${frozenId}`;
export const frozenIdOf = (digest: string): string => digest.slice("frozen:".length);
export const stackLayerOf = ({ frozenId, sizeBytes }: FrozenRecord): StackLayer => ({ digest: frozenDigest(frozenId), sizeBytes });

/** The layers of this node that have no digest. Each has its record before it has its name, so that one without the other is nobody's. */
export class FrozenLayers implements FrozenSource {
  readonly #directory: string;
  readonly #driver: DiskDriver;
  readonly #records = new Map<string, FrozenRecord>();

  constructor(directory: string, driver: DiskDriver) {
    this.#directory = directory;
    this.#driver = driver;
    mkdirSync(directory, { recursive: true, mode: 0o700 });
  }

  /** Takes over what an earlier process kept, and removes what it left half made. */
  async open(logger: Logger): Promise<void> {
    await this.#driver.removeFrozen();
    const kept = new Set(this.#driver.kept());
    for (const name of readdirSync(this.#directory)) {
      const record = name.endsWith(SUFFIX) ? this.#read(name, logger) : null;
      if (record !== null && kept.has(record.frozenId)) this.#records.set(record.frozenId, record);
      else rmSync(join(this.#directory, name), { force: true });
    }
    for (const name of kept) if (!this.#records.has(name)) await this.#driver.removeKept(name);
  }

  has(frozenId: string): boolean {
    return this.#records.has(frozenId);
  }

  path(frozenId: string): string {
    return this.#driver.keptPath(frozenId);
  }

  get(frozenId: string): FrozenRecord | undefined {
    return this.#records.get(frozenId);
  }

  list(): FrozenRecord[] {
    return [...this.#records.values()];
  }

  keep(frozen: Frozen, record: FrozenRecord): void {
    this.#write(record);
    frozen.keepAs(record.frozenId);
    this.#records.set(record.frozenId, record);
  }

  /** Without effect on one that is gone. */
  note(frozenId: string, changes: Partial<Pick<FrozenRecord, "keepUntil" | "released">>): void {
    const record = this.#records.get(frozenId);
    if (record === undefined) return;
    const changed = { ...record, ...changes };
    this.#write(changed);
    this.#records.set(frozenId, changed);
  }

  notePacked(frozenId: string, packed: Packed): void {
    const record = this.#records.get(frozenId);
    if (record === undefined) return;
    const others = record.packed.filter(({ of }) => of !== packed.of).slice(1 - PACKED_MAX);
    const changed = { ...record, packed: [...others, packed] };
    this.#write(changed);
    this.#records.set(frozenId, changed);
  }

  /** It is gone for all others at once, before its files are. */
  async remove(frozenId: string): Promise<void> {
    if (!this.#records.delete(frozenId)) return;
    rmSync(this.#path(frozenId), { force: true });
    await this.#driver.removeKept(frozenId);
  }

  #read(name: string, logger: Logger): FrozenRecord | null {
    try {
      return FrozenRecord.parse(JSON.parse(readFileSync(join(this.#directory, name), "utf8")));
    } catch (error) {
      logger.error({ file: name, reason: messageOf(error) }, "the record of a frozen layer cannot be read: the layer is given up");
      return null;
    }
  }

  #write(record: FrozenRecord): void {
    const path = this.#path(record.frozenId);
    writeFileSync(path + DRAFT_SUFFIX, JSON.stringify(record), { mode: 0o600 });
    renameSync(path + DRAFT_SUFFIX, path);
  }

  #path(frozenId: string): string {
    return join(this.#directory, frozenId + SUFFIX);
  }
}
