import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const SOURCE_DIRECTORY = fileURLToPath(new URL("../../native", import.meta.url));
const BUILD_TIMEOUT_MS = 120_000;
const KEY_CHARS = 16;

export interface NativeBinaries {
  init: string;
  attach: string;
  changes: string;
}

async function hashSources(): Promise<string> {
  const hash = createHash("sha256").update(process.arch);
  const names = (await readdir(SOURCE_DIRECTORY)).filter((name) => /\.[ch]$|^Makefile$/.test(name)).sort();
  for (const name of names) hash.update(`${name}\0`).update(await readFile(join(SOURCE_DIRECTORY, name)));
  return hash.digest("hex").slice(0, KEY_CHARS);
}

/** The binaries, built when none were made of these very sources before. Safe to call from several processes at once. */
export async function buildNative(options: { cacheDirectory?: string } = {}): Promise<NativeBinaries> {
  const cache = options.cacheDirectory ?? join(SOURCE_DIRECTORY, "build");
  const directory = join(cache, await hashSources());
  const binaries = { init: join(directory, "init"), attach: join(directory, "attach"), changes: join(directory, "changes") };
  if (Object.values(binaries).every((path) => existsSync(path))) return binaries;
  await mkdir(cache, { recursive: true });
  const fresh = await mkdtemp(join(cache, "new-"));
  try {
    await promisify(execFile)("make", ["-s", "-C", SOURCE_DIRECTORY, `BUILD=${fresh}`], { timeout: BUILD_TIMEOUT_MS });
    await rename(fresh, directory);
  } catch (cause) {
    // Someone else was first, with the same sources: theirs is as good.
    if (!existsSync(binaries.init)) throw cause;
  } finally {
    await rm(fresh, { recursive: true, force: true });
  }
  return binaries;
}
