import { mkdirSync, readdirSync, readFileSync, renameSync } from "node:fs";
import { rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { createZstdDecompress } from "node:zlib";
import { fault, isFault, isFrozen, layerBlob, type StackLayer } from "@banyan/contracts";
import { type Clock, newId, systemClock } from "@banyan/kernel";
import { Gate } from "./gate.ts";
import { LayerMeter } from "./layer-meter.ts";
import { untar } from "./untar.ts";
import { translateWhiteouts } from "./whiteouts.ts";

/** Where layers come from: the part of the bus's BlobStore that is needed here. */
export interface LayerSource {
  /** Null when there is no such blob. A stream that breaks goes on where it stopped: that is the store's affair. */
  get(name: string): Promise<Readable | null>;
}

export interface LayerUse {
  digest: string;
  lastUsedAt: number;
}

/** Layers of this node alone, which have no digest: `frozen:<name>`. Who keeps them decides how long. */
export interface FrozenSource {
  has(name: string): boolean;
  path(name: string): string;
}

export interface LayerStoreOptions {
  frozen?: FrozenSource;
  /** May take its time: what it is given is out of everybody's way already. */
  removeTree?: (path: string) => Promise<void>;
  clock?: Clock;
}

const FETCHES_MAX = 2;
const LAYER_BYTES_MAX = 64 * 1024 ** 3;
const DRAFT_PREFIX = ".new-";
const TRASH_PREFIX = ".old-";
/** As a heartbeat says them. */
const SHORT_DIGITS = 16;
const USES_FILE = ".uses.json";

/** The node's layers, each unpacked once into a directory named by its digest. A directory of that name is complete. */
export class LayerStore {
  readonly #directory: string;
  readonly #source: LayerSource;
  readonly #frozen: FrozenSource | null;
  readonly #removeTree: (path: string) => Promise<void>;
  readonly #clock: Clock;
  /** When each was used last, by name. */
  readonly #present: Map<string, number>;
  readonly #held = new Map<string, number>();
  readonly #fetching = new Map<string, Promise<void>>();
  readonly #fetches = new Gate(FETCHES_MAX);

  constructor(directory: string, source: LayerSource, options: LayerStoreOptions = {}) {
    this.#directory = directory;
    this.#source = source;
    this.#frozen = options.frozen ?? null;
    this.#removeTree = options.removeTree ?? ((path) => rm(path, { recursive: true, force: true }));
    this.#clock = options.clock ?? systemClock;
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    const uses = readUses(join(directory, USES_FILE));
    const names = readdirSync(directory).filter((name) => !name.startsWith("."));
    this.#present = new Map(names.map((name) => [name, uses[name] ?? this.#clock.now()]));
  }

  /** Removes what an earlier run left half unpacked or half removed. */
  async removeDrafts(): Promise<void> {
    const drafts = readdirSync(this.#directory).filter((name) => name.startsWith(DRAFT_PREFIX) || name.startsWith(TRASH_PREFIX));
    for (const name of drafts) await this.#removeTree(join(this.#directory, name));
  }

  has(digest: string): boolean {
    if (isFrozen(digest)) return this.#frozen?.has(nameOf(digest)) ?? false;
    return this.#present.has(nameOf(digest));
  }

  hasAll(layers: readonly StackLayer[]): boolean {
    return layers.every(({ digest }) => this.has(digest));
  }

  path(digest: string): string {
    if (!isFrozen(digest)) return join(this.#directory, nameOf(digest));
    if (this.#frozen === null) throw unavailable(digest);
    return this.#frozen.path(nameOf(digest));
  }

  get count(): number {
    return this.#present.size;
  }

  /** Makes every layer present. Each is fetched once, however many ask for it at once. */
  async ensure(layers: readonly StackLayer[]): Promise<void> {
    const lost = layers.find(({ digest }) => isFrozen(digest) && !this.has(digest));
    if (lost !== undefined) throw unavailable(lost.digest);
    await Promise.all(layers.map(({ digest }) => this.#ensureOne(digest, () => this.#source.get(layerBlob(digest)))));
  }

  /** Makes a layer present from a blob that is at hand. */
  async adopt(digest: string, open: () => Readable): Promise<void> {
    await this.#ensureOne(digest, async () => open());
  }

  /** Keeps these from being removed until the returned function is called, present or not, and notes their use. */
  hold(layers: readonly StackLayer[]): () => void {
    const names = layers.map(({ digest }) => nameOf(digest));
    const now = this.#clock.now();
    for (const name of names) {
      this.#held.set(name, (this.#held.get(name) ?? 0) + 1);
      if (this.#present.has(name)) this.#present.set(name, now);
    }
    let isOver = false;
    return () => {
      if (isOver) return;
      isOver = true;
      for (const name of names) {
        const left = (this.#held.get(name) ?? 1) - 1;
        if (left === 0) this.#held.delete(name);
        else this.#held.set(name, left);
      }
    };
  }

  isHeld(digest: string): boolean {
    return this.#held.has(nameOf(digest));
  }

  /** The first digits of the digests of at most so many, the one used last first. */
  usedLast(max: number): string[] {
    const byUse = [...this.#present].sort(([, one], [, other]) => other - one);
    return byUse.slice(0, max).map(([name]) => name.slice(0, SHORT_DIGITS));
  }

  /** Those that could be removed as far as is known here, the one used longest ago first. */
  unheld(): LayerUse[] {
    return [...this.#present]
      .filter(([name]) => !this.#held.has(name))
      .map(([name, lastUsedAt]) => ({ digest: `sha256:${name}`, lastUsedAt }))
      .sort((one, other) => one.lastUsedAt - other.lastUsedAt);
  }

  /** False where it is held or absent. It is gone for all others at once, before its files are. */
  async remove(digest: string): Promise<boolean> {
    const name = nameOf(digest);
    if (this.#held.has(name) || !this.#present.delete(name)) return false;
    const trash = join(this.#directory, `${TRASH_PREFIX}${newId("req")}`);
    renameSync(this.path(digest), trash);
    await this.#removeTree(trash);
    return true;
  }

  /** Writes down when layers were used, so that the next process knows: off the path of those who use them. */
  async noteUses(): Promise<void> {
    const draft = join(this.#directory, `${DRAFT_PREFIX}${newId("req")}`);
    await writeFile(draft, JSON.stringify(Object.fromEntries(this.#present)), { mode: 0o600 });
    await rename(draft, join(this.#directory, USES_FILE));
  }

  async #ensureOne(digest: string, open: () => Promise<Readable | null>): Promise<void> {
    if (this.has(digest)) return;
    let fetching = this.#fetching.get(digest);
    if (fetching === undefined) {
      fetching = this.#fetches.run(() => this.#fetch(digest, open)).finally(() => this.#fetching.delete(digest));
      this.#fetching.set(digest, fetching);
    }
    await fetching;
  }

  async #fetch(digest: string, open: () => Promise<Readable | null>): Promise<void> {
    const draft = join(this.#directory, `${DRAFT_PREFIX}${newId("req")}`);
    try {
      mkdirSync(draft, { mode: 0o755 });
      const blob = await open();
      if (blob === null) throw fault("layer.unavailable", { digest }, { message: "the layer is not in the blob store" });
      const actual = await unpack(blob, draft);
      if (actual !== digest)
        throw fault("layer.unavailable", { digest, actual }, { message: "the layer's content does not match its digest" });
      await translateWhiteouts(draft);
      renameSync(draft, this.path(digest));
      this.#present.set(nameOf(digest), this.#clock.now());
    } catch (cause) {
      // What stays all the same is removed when the node starts the next time.
      await this.#removeTree(draft).catch(() => {});
      const known = isFault(cause, "layer.unavailable") ? cause : null;
      throw fault("layer.unavailable", { ...known?.details, digest }, { cause, ...(known && { message: known.message }) });
    }
  }
}

/** Unpacks a compressed tar; answers the digest of what was in it. */
async function unpack(blob: Readable, directory: string): Promise<string> {
  const meter = new LayerMeter(LAYER_BYTES_MAX);
  await untar([blob, createZstdDecompress(), meter], directory);
  return meter.result().digest;
}

/** Digits of a sha256, or the name of a frozen layer: neither can be taken for the other. */
function nameOf(digest: string): string {
  return digest.slice(digest.indexOf(":") + 1);
}

/** Of a frozen layer, which comes from nowhere else. */
function unavailable(digest: string): Error {
  return fault("layer.unavailable", { digest }, { message: "the frozen layer is not on this node any more" });
}

/** When layers were used, as an earlier process wrote it down. What cannot be read counts as used just now. */
function readUses(file: string): Record<string, number> {
  try {
    const uses: unknown = JSON.parse(readFileSync(file, "utf8"));
    return Object.fromEntries(Object.entries(uses ?? {}).filter((use): use is [string, number] => typeof use[1] === "number"));
  } catch {
    return {};
  }
}
