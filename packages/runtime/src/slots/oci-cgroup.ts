import { readFile, rmdir } from "node:fs/promises";
import type { Clock } from "@banyan/kernel";
import { cgroupDirectories } from "../cgroup/cgroup.ts";

const TRIES_MAX = 100;
const TRY_MS = 10;

/** A start that was killed half-way may have left its cgroup, of which the runtime then knows nothing. What runs in it ends. */
export async function removeCgroup(path: string, clock: Clock): Promise<void> {
  for (let tried = 1; ; tried++) {
    const directories = cgroupDirectories(path);
    if (directories.length === 0) return;
    for (const directory of directories) {
      await endAll(directory);
      await rmdir(directory).catch((error: unknown) => {
        // The kernel still lets its processes go.
        if (tried === TRIES_MAX || !isCode(error, "EBUSY", "ENOENT")) throw error;
      });
    }
    await clock.sleep(TRY_MS);
  }
}

async function endAll(directory: string): Promise<void> {
  const pids = await readFile(`${directory}/cgroup.procs`, "utf8").catch(() => "");
  for (const pid of pids.split("\n").filter((line) => line !== "" && line !== "0")) {
    try {
      process.kill(Number(pid), "SIGKILL");
    } catch (error) {
      if (!isCode(error, "ESRCH")) throw error;
    }
  }
}

function isCode(error: unknown, ...codes: string[]): boolean {
  return error instanceof Error && "code" in error && codes.includes(String(error.code));
}
