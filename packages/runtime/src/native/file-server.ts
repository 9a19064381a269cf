import { type ChildProcess, spawn } from "node:child_process";
import { rm } from "node:fs/promises";
import { fault } from "@banyan/contracts";
import type { Clock } from "@banyan/kernel";
import { SOCKET_PATH_BYTES_MAX } from "./init-client.ts";
import { InitFiles } from "./init-files.ts";
import { NativeError } from "./native-error.ts";

/** What in the root of a served directory is the host's own: uploads and trees that are not whole yet. Seen by requests with `own` alone. */
export const UNFINISHED_DIRECTORY = ".banyan-unfinished";

const START_WAIT_MS = 10_000;
const START_POLL_MS = 2;

export interface FileServerOptions {
  /** The binary. */
  init: string;
  socketPath: string;
  /** What is served: a directory of the host, which becomes its root. */
  root: string;
  readOnly: boolean;
  clock: Clock;
}

/** The files of one directory, served by an `init` whose root it is: the same requests as in a sandbox, and no symlink leads out of it. */
export interface FileServer {
  readonly files: InitFiles;
  readonly pid: number;
  readonly isAlive: boolean;
  /** Takes no more; requests under way go on until their connections end. */
  close(): Promise<void>;
}

/** Ends with this process, however that ends. Throws volume.unreachable. */
export async function openFileServer({ init, socketPath, root, readOnly, clock }: FileServerOptions): Promise<FileServer> {
  if (Buffer.byteLength(socketPath) > SOCKET_PATH_BYTES_MAX) throw new Error(`too long a path for a socket: ${socketPath}`);
  await rm(socketPath, { force: true });
  // Its standard input is how it learns that nobody is there any more. A session of its own: a terminal's interrupt is for us to hear.
  const mode = readOnly ? ["ro"] : [];
  const child = spawn(init, [socketPath, root, ...mode], { stdio: ["pipe", "ignore", "ignore"], env: {}, detached: true });
  const ended = endOf(child);
  child.stdin.on("error", () => undefined);
  const server: FileServer = {
    files: new InitFiles(socketPath),
    pid: child.pid ?? 0,
    get isAlive() {
      return !hasEnded(child);
    },
    async close() {
      child.kill("SIGKILL");
      await ended;
      await rm(socketPath, { force: true });
    },
  };
  await answers(server, clock).catch(async (cause: unknown) => {
    await server.close();
    throw fault("volume.unreachable", { retryAfterMs: 1_000, exitCode: child.exitCode }, { cause, message: "The files cannot be served." });
  });
  return server;
}

/** It listens before it has entered its root, so only an answer is proof. */
async function answers(server: FileServer, clock: Clock): Promise<void> {
  const deadlineMs = clock.monotonicMs() + START_WAIT_MS;
  for (;;) {
    const leftMs = deadlineMs - clock.monotonicMs();
    try {
      return void (await server.files.stat("/", { deadlineMs: Math.max(leftMs, 1) }));
    } catch (error) {
      const isLate = clock.monotonicMs() >= deadlineMs;
      if (isLate || !server.isAlive || !(error instanceof NativeError) || error.code !== "connection_lost") throw error;
    }
    await clock.sleep(START_POLL_MS);
  }
}

const hasEnded = (child: ChildProcess): boolean => child.exitCode !== null || child.signalCode !== null || child.pid === undefined;

function endOf(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    child.once("exit", () => resolve());
    // It could not even be started; no exit follows then.
    child.once("error", () => resolve());
  });
}
