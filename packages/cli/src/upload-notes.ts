import { createHash } from "node:crypto";
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import type { UploadNotes } from "@banyan/sdk";

/** Where a copy that is broken off notes how far its large files are. Losing it costs only that they are sent from their beginning. */
export function notesPath(env: NodeJS.ProcessEnv): string {
  return join(env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "banyan", "uploads");
}

/** `of`: what the notes are about beyond the file: the address and the volume. */
export function uploadNotes(directory: string, of: string): UploadNotes {
  const pathOf = (file: string): string => join(directory, createHash("sha256").update(`${of}\n${file}`).digest("hex"));
  return {
    async find(file) {
      return readFile(pathOf(file), "utf8").catch(() => null);
    },
    async keep(file, uploadId) {
      await mkdir(directory, { recursive: true, mode: 0o700 });
      const path = pathOf(file);
      await writeFile(`${path}.${process.pid}`, uploadId);
      await rename(`${path}.${process.pid}`, path);
    },
    forget: (file) => rm(pathOf(file), { force: true }),
  };
}
