import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, renameSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { type Readable, Transform, type TransformCallback } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createZstdDecompress } from "node:zlib";
import { fault, isFault, type LayerRef, layerBlob } from "@banyan/contracts";
import { newId } from "@banyan/kernel";
import { translateWhiteouts } from "./whiteouts.ts";

/** Where layers come from: the part of the bus's BlobStore that is needed here. */
export interface LayerSource {
  /** Null when there is no such blob. */
  get(name: string): Promise<Readable | null>;
}

const FETCHES_MAX = 2;
const LAYER_BYTES_MAX = 64 * 1024 ** 3;
const DRAFT_PREFIX = ".new-";

/** The node's layers, each unpacked once into a directory named by its digest. A directory of that name is complete. */
export class LayerStore {
  readonly #directory: string;
  readonly #source: LayerSource;
  readonly #present: Set<string>;
  readonly #fetching = new Map<string, Promise<void>>();
  readonly #queue: (() => void)[] = [];
  #fetches = 0;

  constructor(directory: string, source: LayerSource) {
    this.#directory = directory;
    this.#source = source;
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    this.#present = new Set(readdirSync(directory).filter((name) => !name.startsWith(DRAFT_PREFIX)));
  }

  /** Removes what an earlier run left half unpacked. */
  async removeDrafts(): Promise<void> {
    const drafts = readdirSync(this.#directory).filter((name) => name.startsWith(DRAFT_PREFIX));
    for (const draft of drafts) await rm(join(this.#directory, draft), { recursive: true, force: true });
  }

  has(digest: string): boolean {
    return this.#present.has(nameOf(digest));
  }

  hasAll(layers: readonly LayerRef[]): boolean {
    return layers.every(({ digest }) => this.has(digest));
  }

  path(digest: string): string {
    return join(this.#directory, nameOf(digest));
  }

  get count(): number {
    return this.#present.size;
  }

  /** Makes every layer present. Each is fetched once, however many ask for it at once. */
  async ensure(layers: readonly LayerRef[]): Promise<void> {
    await Promise.all(layers.map(({ digest }) => this.#ensureOne(digest)));
  }

  async #ensureOne(digest: string): Promise<void> {
    if (this.has(digest)) return;
    let fetching = this.#fetching.get(digest);
    if (fetching === undefined) {
      fetching = this.#fetch(digest).finally(() => this.#fetching.delete(digest));
      this.#fetching.set(digest, fetching);
    }
    await fetching;
  }

  async #fetch(digest: string): Promise<void> {
    if (this.#fetches >= FETCHES_MAX) await new Promise<void>((resolve) => this.#queue.push(resolve));
    this.#fetches++;
    const draft = join(this.#directory, `${DRAFT_PREFIX}${newId("req")}`);
    try {
      mkdirSync(draft, { mode: 0o755 });
      const blob = await this.#source.get(layerBlob(digest));
      if (blob === null) throw fault("layer.unavailable", { digest }, { message: "the layer is not in the blob store" });
      const actual = await unpack(blob, draft);
      if (actual !== digest)
        throw fault("layer.unavailable", { digest, actual }, { message: "the layer's content does not match its digest" });
      await translateWhiteouts(draft);
      renameSync(draft, this.path(digest));
      this.#present.add(nameOf(digest));
    } catch (cause) {
      await rm(draft, { recursive: true, force: true });
      if (isFault(cause, "layer.unavailable")) throw cause;
      throw fault("layer.unavailable", { digest }, { cause });
    } finally {
      this.#fetches--;
      this.#queue.shift()?.();
    }
  }
}

/** Unpacks a compressed tar; answers the digest of what was in it. */
async function unpack(blob: Readable, directory: string): Promise<string> {
  // GNU tar refuses names that lead out of the directory, and delays symlinks that could.
  const tar = spawn(
    "tar",
    ["--extract", "--numeric-owner", "--same-owner", "--preserve-permissions", "--xattrs", "--xattrs-include=*", "--directory", directory],
    {
      stdio: ["pipe", "ignore", "pipe"],
    },
  );
  let said = "";
  tar.stderr.setEncoding("utf8").on("data", (chunk: string) => {
    if (said.length < 4_096) said += chunk;
  });
  const ended = new Promise<number | null>((resolve, reject) => tar.on("error", reject).on("close", resolve));
  const digest = new Digesting();
  try {
    const [exitCode] = await Promise.all([ended, pipeline(blob, createZstdDecompress(), digest, tar.stdin)]);
    if (exitCode !== 0)
      throw fault("layer.unavailable", { exitCode, stderr: said.trim() }, { message: "the layer's tar cannot be unpacked" });
  } catch (error) {
    tar.kill("SIGKILL");
    await ended.catch(() => null);
    throw error;
  }
  return digest.result();
}

/** Passes bytes on and knows their sha256 at the end. */
class Digesting extends Transform {
  readonly #hash = createHash("sha256");
  #bytes = 0;

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    this.#bytes += chunk.length;
    this.#hash.update(chunk);
    done(this.#bytes > LAYER_BYTES_MAX ? new Error(`layer is larger than ${LAYER_BYTES_MAX} bytes`) : null, chunk);
  }

  result(): string {
    return `sha256:${this.#hash.digest("hex")}`;
  }
}

function nameOf(digest: string): string {
  return digest.slice("sha256:".length);
}
