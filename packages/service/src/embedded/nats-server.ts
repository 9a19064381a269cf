import { mkdir, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import { type Clock, type Logger, systemClock } from "@banyan/kernel";
import { freePort } from "./free-port.ts";
import { endProcess, type ProcessNote, readLivingNote, removeNote } from "./process-note.ts";
import { spawnServer } from "./spawn-server.ts";

const READY_MS = 10_000;
const STOP_MS = 10_000;
const PORT_FREE_MS = 1_000;
const PORT_POLL_MS = 20;
const ABSENT = "nats-server is not installed: `apt install nats-server`, or set NATS_URL to one that runs.";

export interface EmbeddedServer {
  readonly url: string;
  readonly port: number;
  readonly pid: number;
  /** True: it ran already, left by a parent that was killed. */
  readonly adopted: boolean;
  /** Ends it in order; after a deadline by force. */
  stop(): Promise<void>;
}

export interface StartServerOptions {
  /** Holds the server's data, its configuration and log, and the note of the running process. */
  dataDir: string;
  /** Default: any free one. */
  port?: number;
  logger: Logger;
  clock?: Clock;
}

export interface StartNatsOptions extends StartServerOptions {
  /** What clients must show; part of the url. */
  token?: string;
  /** More of nats-server's configuration: users and permissions. */
  config?: string;
}

/** A real nats-server with JetStream, as a child process with its own data directory. */
export async function startNatsServer(options: StartNatsOptions): Promise<EmbeddedServer> {
  const { dataDir, logger, token, clock = systemClock } = options;
  const notePath = join(dataDir, "nats.pid.json");
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  const found = await readLivingNote(notePath);
  if (found !== null) {
    const isWanted = (options.port ?? found.port) === found.port && (await isTaken(found.port));
    if (isWanted) {
      logger.info({ pid: found.pid, port: found.port }, "found the NATS server of an earlier run");
      return natsServer(found, notePath, token, true, clock);
    }
    await endProcess(found, "SIGTERM", STOP_MS, clock);
  }
  const port = options.port ?? (await freePort());
  if (!(await becomesFree(port, clock)))
    throw new Error(`Port ${port} is taken, NATS cannot listen there: stop what uses it, or choose another port.`);
  const configPath = join(dataDir, "nats.conf");
  await writeFile(configPath, natsConfig(port, options), { mode: 0o600 });
  const note = await spawnServer({
    binary: "nats-server",
    args: ["-c", configPath],
    identity: {},
    logPath: join(dataDir, "nats.log"),
    notePath,
    port,
    absent: ABSENT,
    readyMs: READY_MS,
    isReady: () => isTaken(port),
    clock,
  });
  return natsServer(note, notePath, token, false, clock);
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

/** A killed server's threads hold its port a moment longer than its process is seen. */
async function becomesFree(port: number, clock: Clock): Promise<boolean> {
  const endsAt = clock.monotonicMs() + PORT_FREE_MS;
  while (await isTaken(port)) {
    if (clock.monotonicMs() > endsAt) return false;
    await clock.sleep(PORT_POLL_MS);
  }
  return true;
}

/** Whether something listens on this port. */
function isTaken(port: number): Promise<boolean> {
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

function natsServer(note: ProcessNote, notePath: string, token: string | undefined, adopted: boolean, clock: Clock): EmbeddedServer {
  const credentials = token === undefined ? "" : `${encodeURIComponent(token)}@`;
  return {
    url: `nats://${credentials}127.0.0.1:${note.port}`,
    port: note.port,
    pid: note.pid,
    adopted,
    async stop() {
      await endProcess(note, "SIGTERM", STOP_MS, clock);
      await removeNote(notePath);
    },
  };
}
