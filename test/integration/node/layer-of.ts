import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { zstdCompressSync } from "node:zlib";
import { type LayerRef, layerBlob } from "@banyan/contracts";
import type { MemoryBlobs } from "@banyan/testkit";

/** A layer in the blob store that holds one file, which says its own name. */
export function layerOf(blobs: MemoryBlobs, name: string): LayerRef {
  const directory = mkdtempSync(join(tmpdir(), "banyan-layer-"));
  writeFileSync(join(directory, name), `this is ${name}`);
  const tar = execFileSync("tar", ["--create", "--directory", directory, name]);
  rmSync(directory, { recursive: true });
  const digest = `sha256:${createHash("sha256").update(tar).digest("hex")}`;
  blobs.contents.set(layerBlob(digest), zstdCompressSync(tar));
  return { digest, sizeBytes: tar.length };
}
