import { createHash } from "node:crypto";
import { mkdirSync } from "node:fs";
import { readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { LayerRef } from "@banyan/contracts";
import { newId } from "@banyan/kernel";

const ENTRIES_MAX = 20_000;
const DRAFT_PREFIX = ".new-";

/**
 * Which layer of ours an engine's layer became. The engine names a layer by a tar of its own making (its "diff id"); ours may be packed
 * differently, so that only who packed it knows. What is forgotten is packed again.
 */
export class KnownLayers {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
    mkdirSync(directory, { recursive: true, mode: 0o700 });
  }

  async find(diffId: string): Promise<LayerRef | null> {
    try {
      return LayerRef.parse(JSON.parse(await readFile(this.#path(diffId), "utf8")));
    } catch (error) {
      if (error instanceof Error && "code" in error && error.code === "ENOENT") return null;
      throw error;
    }
  }

  async remember(diffId: string, { digest, sizeBytes }: LayerRef): Promise<void> {
    const draft = join(this.#directory, DRAFT_PREFIX + newId("req"));
    await writeFile(draft, JSON.stringify({ digest, sizeBytes }));
    await rename(draft, this.#path(diffId));
  }

  /** Forgets the oldest beyond what is kept. */
  async prune(entriesMax = ENTRIES_MAX): Promise<void> {
    const names = await readdir(this.#directory);
    const entries = names.filter((name) => !name.startsWith(DRAFT_PREFIX));
    const surplus = entries.length - entriesMax;
    const aged =
      surplus <= 0 ? [] : await Promise.all(entries.map(async (name) => ({ name, at: (await stat(join(this.#directory, name))).mtimeMs })));
    const oldest = aged.sort((one, other) => one.at - other.at).slice(0, Math.max(surplus, 0));
    for (const { name } of oldest) await rm(join(this.#directory, name), { force: true });
  }

  /** The name is hashed: it comes from the engine, and becomes a path. */
  #path(diffId: string): string {
    return join(this.#directory, createHash("sha256").update(diffId).digest("hex").slice(0, 40));
  }
}
