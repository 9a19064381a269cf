import { randomBytes } from "node:crypto";
import { chmod, mkdir, readFile, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Clock } from "@banyan/kernel";
import { readLivingNote, removeNote, writeNote } from "@banyan/service";

const STOPPING_WAIT_MS = 60_000;
const POLL_MS = 100;
const SECRET_BYTES = 32;

export interface DataDir {
  readonly path: string;
  /** Tells a next start that this one is on its way out and worth waiting for. */
  markStopping(): Promise<void>;
  release(): Promise<void>;
}

/** Makes the data directory and takes it for this process alone. */
export async function openDataDir(path: string, clock: Clock, onWait: () => void): Promise<DataDir> {
  await mkdir(path, { recursive: true });
  // Postgres does not run as root and must reach its own directory below this one.
  await chmod(path, 0o711);
  await refuseClosedParents(path);
  const notePath = join(path, "standalone.pid.json");
  await waitForEarlier(path, notePath, clock, onWait);
  await writeNote(notePath, process.pid, RUNNING);
  return {
    path,
    markStopping: async () => void (await writeNote(notePath, process.pid, STOPPING)),
    release: () => removeNote(notePath),
  };
}

/** What the port of the note says here: nobody listens. */
const RUNNING = 1;
const STOPPING = 0;

async function waitForEarlier(path: string, notePath: string, clock: Clock, onWait: () => void): Promise<void> {
  const endsAt = clock.monotonicMs() + STOPPING_WAIT_MS;
  let told = false;
  for (let earlier = await readLivingNote(notePath); earlier !== null; earlier = await readLivingNote(notePath)) {
    if (earlier.port === RUNNING) {
      throw new Error(
        `Banyan runs already with the data directory ${path} (process ${earlier.pid}): stop that one, or give another --data-dir.`,
      );
    }
    if (clock.monotonicMs() > endsAt)
      throw new Error(`The Banyan before this one (process ${earlier.pid}) does not end: stop it with kill -9.`);
    if (!told) onWait();
    told = true;
    await clock.sleep(POLL_MS);
  }
}

async function refuseClosedParents(path: string): Promise<void> {
  for (let parent = dirname(path); parent !== "/"; parent = dirname(parent)) {
    const { mode } = await stat(parent);
    if ((mode & 0o001) === 0) {
      throw new Error(
        `${parent} is closed to other users, but Postgres runs as one and keeps its data in ${path}: chmod o+x it, or give another --data-dir.`,
      );
    }
  }
}

/** Made once and kept, readable by root only. */
export async function keptSecret(dataDir: string, name: string, prefix = ""): Promise<string> {
  const folder = join(dataDir, "secrets");
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const path = join(folder, name);
  const made = `${prefix}${randomBytes(SECRET_BYTES).toString("base64url")}`;
  try {
    await writeFile(path, `${made}\n`, { mode: 0o600, flag: "wx" });
    return made;
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "EEXIST")) throw error;
    return (await readFile(path, "utf8")).trim();
  }
}
