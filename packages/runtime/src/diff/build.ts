import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const SOURCE_DIRECTORY = fileURLToPath(new URL(".", import.meta.url));
const CACHE_DIRECTORY = fileURLToPath(new URL("../../native/build", import.meta.url));
const BUILD_TIMEOUT_MS = 120_000;
const KEY_CHARS = 16;

let built: Promise<string> | null = null;

/** The path of the binary `changes`, built when none was made of these very sources before. Safe to call from several processes at once. */
export function buildChanges(): Promise<string> {
  built ??= build().catch((error) => {
    built = null;
    throw error;
  });
  return built;
}

async function build(): Promise<string> {
  const hash = createHash("sha256").update(process.arch);
  const names = (await readdir(SOURCE_DIRECTORY)).filter((name) => /\.[ch]$|^Makefile$/.test(name)).sort();
  for (const name of names) hash.update(`${name}\0`).update(await readFile(join(SOURCE_DIRECTORY, name)));
  const directory = join(CACHE_DIRECTORY, `changes-${hash.digest("hex").slice(0, KEY_CHARS)}`);
  const binary = join(directory, "changes");
  if (existsSync(binary)) return binary;
  await mkdir(CACHE_DIRECTORY, { recursive: true });
  const fresh = await mkdtemp(join(CACHE_DIRECTORY, "new-"));
  try {
    await promisify(execFile)("make", ["-s", "-C", SOURCE_DIRECTORY, `BUILD=${fresh}`], { timeout: BUILD_TIMEOUT_MS });
    await rename(fresh, directory);
  } catch (cause) {
    // Someone else was first, with the same sources: theirs is as good.
    if (!existsSync(binary)) throw cause;
  } finally {
    await rm(fresh, { recursive: true, force: true });
  }
  return binary;
}
