import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import { type Clock, type Logger, systemClock } from "@banyan/kernel";
import { findBinary } from "./find-binary.ts";
import { freePort } from "./free-port.ts";
import { endProcess, isAlive, type ProcessNote, readLivingNote, removeNote, waitUntilReady, writeNote } from "./process-file.ts";

const READY_MS = 10_000;
const STOP_MS = 10_000;
const LOG_TAIL_CHARACTERS = 2_000;

export interface EmbeddedServer {
  readonly url: string;
  readonly port: number;
  readonly pid: number;
  /** True: it ran already, left by a parent that was killed. */
  readonly adopted: boolean;
  /** Ends it in order; after a deadline by force. */
  stop(): Promise<void>;
}

export interface StartNatsOptions {
  /** Holds the store, the configuration, the log and the note of the running process. */
  dataDir: string;
  /** Default: any free one, kept for the next start. */
  port?: number;
  /** More of nats-server's configuration: users and permissions. */
  config?: string;
  /** What clients must show; part of the url. */
  token?: string;
  logger: Logger;
  clock?: Clock;
}

/** A real nats-server with JetStream, as a child process with its own data directory. */
export async function startNatsServer(options: StartNatsOptions): Promise<EmbeddedServer> {
  const clock = options.clock ?? systemClock;
  const { dataDir } = options;
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  const notePath = join(dataDir, "nats.pid.json");
  const running = await readLivingNote(notePath);
  const isWanted = running !== null && (options.port === undefined || options.port === running.port) && (await answers(running.port));
  if (running && isWanted) {
    options.logger.info({ pid: running.pid, port: running.port }, "found the NATS server of an earlier run");
    return server(running, notePath, options.token, true, clock);
  }
  if (running) await endProcess(running, "SIGTERM", STOP_MS, clock);

  const binary = await findBinary("nats-server");
  if (binary === null) throw new Error("nats-server is not installed: `apt install nats-server`, or set NATS_URL to one that runs.");
  const port = options.port ?? (await freePort());
  if (await answers(port)) throw new Error(`port ${port} is taken: NATS cannot listen there. Stop what uses it, or choose another port.`);
  const configPath = join(dataDir, "nats.conf");
  await writeFile(configPath, natsConfig(port, options), { mode: 0o600 });
  const logPath = join(dataDir, "nats.log");
  const child = spawnDetached(binary, ["-c", configPath], logPath);
  if (child.pid === undefined) throw new Error(`${binary} could not be started`);
  await writeNote(notePath, child.pid, port);
  const note = await readLivingNote(notePath);
  if (note === null) throw new Error(`nats-server ended at once:\n${await tail(logPath)}`);
  await waitUntilReady("nats-server", READY_MS, clock, async () => {
    if (!(await isAlive(note))) throw new Error(`nats-server ended while it started:\n${await tail(logPath)}`);
    return answers(port);
  });
  return server(note, notePath, options.token, false, clock);
}

function natsConfig(port: number, { dataDir, token, config = "" }: StartNatsOptions): string {
  const lines = [
    "# Written at every start.",
    `listen: "127.0.0.1:${port}"`,
    "max_payload: 1MB",
    `jetstream { store_dir: ${JSON.stringify(join(dataDir, "store"))} }`,
    ...(token === undefined ? [] : [`authorization { token: ${JSON.stringify(token)} }`]),
    config,
  ];
  return `${lines.join("\n")}\n`;
}

/** Its own session: a Ctrl-C at the terminal reaches us alone, and we end it in order. */
export function spawnDetached(
  binary: string,
  args: string[],
  logPath: string,
  identity: { uid?: number; gid?: number } = {},
): ChildProcess {
  const log = openSync(logPath, "a", 0o640);
  try {
    const child = spawn(binary, args, { stdio: ["ignore", log, log], detached: true, cwd: "/", ...identity });
    child.unref();
    // Without a listener a failed spawn would end the process; the missing pid says it too.
    child.on("error", () => {});
    return child;
  } finally {
    closeSync(log);
  }
}

export const tail = async (path: string): Promise<string> => (await readFile(path, "utf8").catch(() => "")).slice(-LOG_TAIL_CHARACTERS);

/** Whether something greets on this port. */
function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: "127.0.0.1" });
    const end = (answer: boolean): void => {
      socket.destroy();
      resolve(answer);
    };
    socket.once("error", () => end(false));
    socket.once("connect", () => end(true));
  });
}

function server(note: ProcessNote, notePath: string, token: string | undefined, adopted: boolean, clock: Clock): EmbeddedServer {
  return {
    url: `nats://${token === undefined ? "" : `${encodeURIComponent(token)}@`}127.0.0.1:${note.port}`,
    port: note.port,
    pid: note.pid,
    adopted,
    async stop() {
      await endProcess(note, "SIGTERM", STOP_MS, clock);
      await removeNote(notePath);
    },
  };
}
