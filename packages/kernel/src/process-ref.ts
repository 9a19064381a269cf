import { readdirSync, readFileSync } from "node:fs";

export interface ProcessRef {
  pid: number;
  startTime: number;
}

/**
 * Clock ticks after boot at which the process started: with the pid it names one process for ever. Null when there is none, and when it
 * has ended and only waits for its parent to hear of it, which some parents never do: signal 0 reaches such a one as if it lived.
 */
export function processStartTime(pid: number): number | null {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, "latin1");
  } catch {
    return null;
  }
  // The name in parentheses may hold anything, so fields are counted from its end: the state is field 3, the start time field 22.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const startTime = Number(fields[19]);
  const isDead = fields[0] === "X" || (fields[0] === "Z" && !hasOtherThreads(pid));
  return isDead || !Number.isSafeInteger(startTime) ? null : startTime;
}

/** True while this very process lives; a later one with the same pid is another. */
export function isAlive(process: ProcessRef): boolean {
  return processStartTime(process.pid) === process.startTime;
}

/** The first thread of a killed process may be gone before the others, which hold its files and ports until they are. */
function hasOtherThreads(pid: number): boolean {
  try {
    return readdirSync(`/proc/${pid}/task`).length > 1;
  } catch {
    return false;
  }
}
