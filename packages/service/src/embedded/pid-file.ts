import { readdir, readFile, readlink, realpath, rm } from "node:fs/promises";
import { type Clock, type ProcessRef, processStartTime } from "@banyan/kernel";
import { endProcess, ends, isErrno } from "./process-note.ts";

const REST_MS = 10_000;
/** The kernel cuts the name of a process to so many characters. */
const NAME_LENGTH_MAX = 15;

export interface PidFile {
  path: string;
  /** What the kernel calls the server and the processes it starts. */
  name: string;
  /** Where the server and its processes are: only there they count as its own. Omitted: anywhere. */
  directory?: string;
  clock: Clock;
}

/**
 * Takes away the pid file of a server that was killed. The server itself would ask by signal 0 whether the process lives, and be told so of
 * one whose parent has not heard of its end, and of a stranger that has its number by now; then it does not start. What the killed one
 * started is waited for, and in the end killed. The file of a server that lives is left, and so is one of which nobody can say.
 */
export async function removeStalePidFile({ path, name, directory, clock }: PidFile): Promise<void> {
  const pid = await readPid(path);
  if (pid === null) return;
  const where = directory === undefined ? null : await realpath(directory);
  const holder = await findNamed(pid, name);
  if (holder !== null && (where === null || (await isIn(pid, where)) !== false)) return;
  for (const left of where === null ? [] : await listProcesses(name, where)) {
    if (!(await ends(left, REST_MS, clock))) await endProcess(left, "SIGKILL", REST_MS, clock);
  }
  await rm(path, { force: true });
}

/** The number its first line holds. */
async function readPid(path: string): Promise<number | null> {
  const text = await readFile(path, "utf8").catch(absent);
  const pid = Number.parseInt(text ?? "", 10);
  return Number.isSafeInteger(pid) && pid > 0 ? pid : null;
}

/** The process of this number, if it lives and has this name. */
async function findNamed(pid: number, name: string): Promise<ProcessRef | null> {
  const startTime = processStartTime(pid);
  if (startTime === null) return null;
  const called = await readFile(`/proc/${pid}/comm`, "utf8").catch(absent);
  return called?.trim() === name.slice(0, NAME_LENGTH_MAX) ? { pid, startTime } : null;
}

/** Null: we may not know. */
async function isIn(pid: number, directory: string): Promise<boolean | null> {
  return readlink(`/proc/${pid}/cwd`).then(
    (cwd) => cwd === directory,
    (error: unknown) => (isErrno(error, "EACCES", "EPERM") ? null : absent(error) !== null),
  );
}

async function listProcesses(name: string, directory: string): Promise<ProcessRef[]> {
  const found: ProcessRef[] = [];
  for (const pid of (await readdir("/proc")).map(Number).filter(Number.isInteger)) {
    const process = await findNamed(pid, name);
    if (process !== null && (await isIn(pid, directory)) === true) found.push(process);
  }
  return found;
}

function absent(error: unknown): null {
  if (isErrno(error, "ENOENT", "ESRCH")) return null;
  throw error;
}
