import { readFile, rm, writeFile } from "node:fs/promises";
import { type Clock, isAlive, messageOf, type ProcessRef, processStartTime } from "@banyan/kernel";

const POLL_MS = 20;
/** Memory is given back and files are closed before a killed process is gone. */
const KILLED_MS = 20_000;

/** What a starter notes of its child, so that the next start finds a child that outlived a killed parent. */
export interface ProcessNote extends ProcessRef {
  port: number;
}

/** Null: the process has ended already. */
export async function writeNote(path: string, pid: number, port: number): Promise<ProcessNote | null> {
  const startTime = processStartTime(pid);
  if (startTime === null) return null;
  const note: ProcessNote = { pid, startTime, port };
  await writeFile(path, `${JSON.stringify(note)}\n`);
  return note;
}

/** The noted process, if it still runs. */
export async function readLivingNote(path: string): Promise<ProcessNote | null> {
  try {
    const note = JSON.parse(await readFile(path, "utf8")) as ProcessNote;
    if (isAlive(note)) return note;
  } catch (error) {
    if (!isAbsent(error) && !(error instanceof SyntaxError)) throw error;
  }
  return null;
}

export const removeNote = (path: string): Promise<void> => rm(path, { force: true });

export const isErrno = (error: unknown, ...codes: string[]): boolean =>
  error instanceof Error && "code" in error && typeof error.code === "string" && codes.includes(error.code);
const isAbsent = (error: unknown): boolean => isErrno(error, "ENOENT", "ESRCH");

/** Signals, waits, and after the deadline kills. */
export async function endProcess(living: ProcessRef, signal: NodeJS.Signals, deadlineMs: number, clock: Clock): Promise<void> {
  send(living.pid, signal);
  if (await ends(living, deadlineMs, clock)) return;
  send(living.pid, "SIGKILL");
  if (!(await ends(living, KILLED_MS, clock))) throw new Error(`process ${living.pid} does not end`);
}

/** Whether it ended in this time. */
export async function ends(living: ProcessRef, deadlineMs: number, clock: Clock): Promise<boolean> {
  const endsAt = clock.monotonicMs() + deadlineMs;
  while (isAlive(living)) {
    if (clock.monotonicMs() > endsAt) return false;
    await clock.sleep(POLL_MS);
  }
  return true;
}

function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if (!isAbsent(error)) throw new Error(`cannot signal process ${pid}: ${messageOf(error)}`, { cause: error });
  }
}
