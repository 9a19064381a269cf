import { access, constants, readdir } from "node:fs/promises";
import { join } from "node:path";

const FIXED_DIRECTORIES = ["/usr/local/bin", "/usr/bin", "/usr/sbin"];

/** The first executable of this name: in `directories`, then on PATH, then in the usual places. Null: there is none. */
export async function findBinary(name: string, directories: readonly string[] = []): Promise<string | null> {
  const path = (process.env["PATH"] ?? "").split(":").filter((directory) => directory !== "");
  for (const directory of [...directories, ...path, ...FIXED_DIRECTORIES]) {
    const candidate = join(directory, name);
    const isExecutable = await access(candidate, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (isExecutable) return candidate;
  }
  return null;
}

/** Debian keeps each Postgres version in a folder of its own and off PATH; newest first. */
export async function postgresDirectories(): Promise<string[]> {
  const root = "/usr/lib/postgresql";
  const versions = await readdir(root).catch(() => []);
  return versions.sort((a, b) => Number(b) - Number(a)).map((version) => join(root, version, "bin"));
}
