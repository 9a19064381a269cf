import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { type Clock, isAlive } from "@banyan/kernel";
import { isErrno, type ProcessNote, writeNote } from "./process-note.ts";

const POLL_MS = 20;
const LOG_TAIL_CHARACTERS = 2_000;
/** Where servers are installed; not every user's PATH has these. */
const SERVER_DIRECTORIES = "/usr/local/sbin:/usr/sbin:/sbin";

/** Who the server runs as; empty: as we do. */
export interface Identity {
  uid?: number;
  gid?: number;
}

export interface SpawnServer {
  /** A path, or a name to be found on PATH. */
  binary: string;
  args: string[];
  identity: Identity;
  logPath: string;
  notePath: string;
  port: number;
  /** Said when there is no such binary. */
  absent: string;
  readyMs: number;
  isReady(pid: number): Promise<boolean>;
  clock: Clock;
}

/** Starts a server that may outlive us, notes it, and waits until it is ready. A server that does not get there leaves its last words in the error. */
export async function spawnServer(options: SpawnServer): Promise<ProcessNote> {
  const { binary, logPath, clock } = options;
  const pid = await spawnDetached(options);
  const note = await writeNote(options.notePath, pid, options.port);
  const endsAt = clock.monotonicMs() + options.readyMs;
  while (note === null || !(await options.isReady(pid))) {
    if (note === null || !isAlive(note)) throw new Error(`${binary} ended while it started:\n${await tail(logPath)}`);
    if (clock.monotonicMs() > endsAt) throw new Error(`${binary} was not ready within ${options.readyMs} ms:\n${await tail(logPath)}`);
    await clock.sleep(POLL_MS);
  }
  return note;
}

/** In a session of its own: a Ctrl-C at the terminal reaches us alone, and we end it in order. */
async function spawnDetached({ binary, args, identity, logPath, absent }: SpawnServer): Promise<number> {
  const log = openSync(logPath, "a", 0o640);
  try {
    const env = { ...process.env, PATH: `${process.env.PATH ?? ""}:${SERVER_DIRECTORIES}` };
    const child = spawn(binary, args, { stdio: ["ignore", log, log], detached: true, cwd: "/", env, ...identity });
    await once(child, "spawn");
    child.unref();
    if (child.pid === undefined) throw new Error(`${binary} has no pid`);
    return child.pid;
  } catch (cause) {
    if (isErrno(cause, "ENOENT")) throw new Error(absent, { cause });
    throw cause;
  } finally {
    closeSync(log);
  }
}

const tail = async (path: string): Promise<string> => (await readFile(path, "utf8")).slice(-LOG_TAIL_CHARACTERS);
