import { readFileSync } from "node:fs";

/** Clock ticks after boot at which the process started: with the pid it names one process for ever. Null when there is none. */
export function processStartTime(pid: number): number | null {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, "latin1");
  } catch {
    return null;
  }
  // The name in parentheses may hold anything, so fields are counted from its end: the state is field 3, the start time field 22.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const isDead = fields[0] === "Z" || fields[0] === "X";
  const startTime = Number(fields[19]);
  return isDead || !Number.isSafeInteger(startTime) ? null : startTime;
}

export interface ProcessRef {
  pid: number;
  startTime: number;
}

/** True while this very process lives; a later one with the same pid is another. */
export function isAlive(process: ProcessRef): boolean {
  return processStartTime(process.pid) === process.startTime;
}
