import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fault } from "@banyan/contracts";
import { isAlive, processStartTime } from "@banyan/runtime";

/** Keeps a second agent away from a data directory in use: two would take each other's sandboxes for orphans. A dead one's lock is void. */
export function lockDataDir(dataDir: string): { release(): void } {
  const file = join(dataDir, "agent.lock");
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  const holder = readHolder(file);
  if (holder !== null && holder.pid !== process.pid && isAlive(holder)) {
    throw fault(
      "internal",
      { dataDir, pid: holder.pid },
      { message: `another runner-agent (process ${holder.pid}) uses ${dataDir}; stop it or choose another data directory` },
    );
  }
  writeFileSync(file, `${process.pid} ${processStartTime(process.pid)}\n`, { mode: 0o600 });
  return { release: () => rmSync(file, { force: true }) };
}

function readHolder(file: string): { pid: number; startTime: number } | null {
  try {
    const [pid, startTime] = readFileSync(file, "utf8").trim().split(" ").map(Number);
    return Number.isInteger(pid) && Number.isInteger(startTime) ? { pid: pid ?? 0, startTime: startTime ?? 0 } : null;
  } catch {
    return null;
  }
}
