import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import {
  createReadStream,
  createWriteStream,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { promisify } from "node:util";
import { constants, createZstdCompress } from "node:zlib";
import { type LayerRef, layerBlob } from "@banyan/contracts";
import type { LayerSource } from "@banyan/runtime";

const CACHE_DIRECTORY = process.env.BANYAN_TEST_CACHE_DIR ?? "/var/cache/banyan";
const MAKE_TIMEOUT_MS = 170_000;
/** Every node of a test unpacks it anew: what no test reads is left out. */
const LEAVE_OUT =
  'rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/* "$1"/usr/share/doc "$1"/usr/share/locale "$1"/usr/share/man "$1"/usr/lib/*/gconv';

export interface Rootfs {
  layer: LayerRef;
  source: LayerSource;
}

/** The smallest Debian as one layer, made once on this machine and kept outside the repository. */
export async function testRootfs(): Promise<Rootfs> {
  const directory = join(CACHE_DIRECTORY, "test-rootfs");
  const blob = join(directory, "layer.tar.zst");
  const about = join(directory, "layer.json");
  if (!existsSync(about)) await makeRootfs(directory, blob, about);
  const layer = JSON.parse(readFileSync(about, "utf8")) as LayerRef;
  return { layer, source: { get: async (name) => (name === layerBlob(layer.digest) ? createReadStream(blob) : null) } };
}

async function makeRootfs(directory: string, blob: string, about: string): Promise<void> {
  mkdirSync(directory, { recursive: true });
  const draft = join(directory, `${process.pid}.tar`);
  await promisify(execFile)("mmdebstrap", ["--variant=minbase", `--customize-hook=${LEAVE_OUT}`, "bookworm", draft], {
    timeout: MAKE_TIMEOUT_MS,
  });
  const hash = createHash("sha256");
  await pipeline(createReadStream(draft), hash);
  const digest = `sha256:${hash.digest("hex")}`;
  await pipeline(
    createReadStream(draft),
    createZstdCompress({ params: { [constants.ZSTD_c_compressionLevel]: 1 } }),
    createWriteStream(`${draft}.zst`),
  );
  rmSync(draft);
  renameSync(`${draft}.zst`, blob);
  writeFileSync(`${about}.new`, JSON.stringify({ digest, sizeBytes: statSync(blob).size }));
  renameSync(`${about}.new`, about);
}
