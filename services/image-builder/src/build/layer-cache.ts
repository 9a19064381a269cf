import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { LayerRef } from "@banyan/contracts";
import { newId } from "@banyan/kernel";
import { z } from "zod";

const DRAFT_PREFIX = ".new-";

const Entry = LayerRef.extend({ origin: z.string() });
export type CachedLayer = z.infer<typeof Entry> & { path: string };

/** Finished layers by the key of their recipe: a new database or an empty blob store costs no second build. */
export class LayerCache {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
    mkdirSync(directory, { recursive: true, mode: 0o700 });
  }

  find(key: string): CachedLayer | null {
    const entry = join(this.#directory, key);
    if (!existsSync(join(entry, "layer.json"))) return null;
    const described = Entry.parse(JSON.parse(readFileSync(join(entry, "layer.json"), "utf8")));
    return { ...described, path: join(entry, "layer.tar.zst") };
  }

  /** `make` writes the layer to the path it is given. An entry appears whole or not at all; of two that make the same one, the first stays. */
  async add(key: string, make: (path: string) => Promise<z.infer<typeof Entry>>): Promise<CachedLayer> {
    const draft = join(this.#directory, `${DRAFT_PREFIX}${newId("req")}`);
    mkdirSync(draft, { mode: 0o700 });
    try {
      const described = await make(join(draft, "layer.tar.zst"));
      writeFileSync(join(draft, "layer.json"), JSON.stringify(described));
      if (this.find(key) === null) renameSync(draft, join(this.#directory, key));
    } finally {
      rmSync(draft, { recursive: true, force: true });
    }
    const cached = this.find(key);
    if (cached === null) throw new Error(`the layer ${key} vanished from ${this.#directory}`);
    return cached;
  }

  /** An entry that turned out to be damaged is made anew. */
  remove(key: string): void {
    rmSync(join(this.#directory, key), { recursive: true, force: true });
  }
}
