import { readFile, rm, writeFile } from "node:fs/promises";
import { type Clock, messageOf } from "@banyan/kernel";

const POLL_MS = 20;

/** What a starter notes of its child, so that the next start finds a child that outlived a killed parent. */
export interface ProcessNote {
  pid: number;
  /** When the kernel started it: a pid alone may belong to someone else by now. */
  startTicks: string;
  port: number;
}

/** Null: the process has ended already. */
export async function writeNote(path: string, pid: number, port: number): Promise<ProcessNote | null> {
  const startTicks = await readStartTicks(pid);
  if (startTicks === null) return null;
  const note: ProcessNote = { pid, startTicks, port };
  await writeFile(path, `${JSON.stringify(note)}\n`);
  return note;
}

/** The noted process, if it still runs. */
export async function readLivingNote(path: string): Promise<ProcessNote | null> {
  try {
    const note = JSON.parse(await readFile(path, "utf8")) as ProcessNote;
    if ((await readStartTicks(note.pid)) === note.startTicks) return note;
  } catch (error) {
    if (!isAbsent(error) && !(error instanceof SyntaxError)) throw error;
  }
  return null;
}

export const removeNote = (path: string): Promise<void> => rm(path, { force: true });

/** Field 22 of /proc/<pid>/stat; null when there is no such process, or it is a zombie. */
async function readStartTicks(pid: number): Promise<string | null> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, "latin1");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return fields[0] === "Z" ? null : (fields[19] ?? null);
  } catch (error) {
    if (isAbsent(error)) return null;
    throw error;
  }
}

export const isErrno = (error: unknown, ...codes: string[]): boolean =>
  error instanceof Error && "code" in error && typeof error.code === "string" && codes.includes(error.code);
const isAbsent = (error: unknown): boolean => isErrno(error, "ENOENT", "ESRCH");

export const isAlive = async (note: ProcessNote): Promise<boolean> => (await readStartTicks(note.pid)) === note.startTicks;

/** Signals, waits, and after the deadline kills. */
export async function endProcess(note: ProcessNote, signal: NodeJS.Signals, deadlineMs: number, clock: Clock): Promise<void> {
  send(note.pid, signal);
  const endsAt = clock.monotonicMs() + deadlineMs;
  let killed = false;
  while (await isAlive(note)) {
    if (clock.monotonicMs() > endsAt) {
      if (killed) throw new Error(`process ${note.pid} does not end`);
      killed = true;
      send(note.pid, "SIGKILL");
    }
    await clock.sleep(POLL_MS);
  }
}

function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if (!isAbsent(error)) throw new Error(`cannot signal process ${pid}: ${messageOf(error)}`, { cause: error });
  }
}
