import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fault } from "@banyan/contracts";
import { isAlive, type ProcessRef, processStartTime } from "@banyan/kernel";

/** Keeps a second volume-manager away from a data directory in use: two would end each other's mounts and file servers. A dead one's lock is void. */
export function lockDataDir(dataDir: string): { release(): void } {
  const file = join(dataDir, "volume-manager.lock");
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  const holder = readHolder(file);
  if (holder !== null && holder.pid !== process.pid && isAlive(holder)) {
    const message = `another volume-manager (process ${holder.pid}) uses ${dataDir}; give each of them a data directory of its own`;
    throw fault("internal", { dataDir, pid: holder.pid }, { message });
  }
  writeFileSync(file, `${process.pid} ${processStartTime(process.pid)}\n`, { mode: 0o600 });
  return { release: () => rmSync(file, { force: true }) };
}

function readHolder(file: string): ProcessRef | null {
  try {
    const [pid, startTime] = readFileSync(file, "utf8").trim().split(" ").map(Number);
    return Number.isInteger(pid) && Number.isInteger(startTime) ? { pid: pid ?? 0, startTime: startTime ?? 0 } : null;
  } catch {
    return null;
  }
}
