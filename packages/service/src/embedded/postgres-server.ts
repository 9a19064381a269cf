import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { chown, mkdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { type Clock, messageOf, systemClock } from "@banyan/kernel";
import { findBinary, postgresDirectories } from "./find-binary.ts";
import { freePort } from "./free-port.ts";
import { type EmbeddedServer, type StartNatsOptions, spawnDetached, tail } from "./nats-server.ts";
import { endProcess, isAlive, isErrno, type ProcessNote, readLivingNote, removeNote, waitUntilReady, writeNote } from "./process-file.ts";

const run = promisify(execFile);
const INITDB_MS = 120_000;
const READY_MS = 60_000;
const STOP_MS = 20_000;
const USER = "banyan";
const DATABASE = "postgres";
const CLUSTER = "cluster";

interface Identity {
  uid?: number;
  gid?: number;
}

export interface StartPostgresOptions extends Omit<StartNatsOptions, "config"> {
  /** False: a crash of the machine may lose the database. For tests. Default true. */
  durable?: boolean;
}

/** A real Postgres as a child process with its own data directory, on 127.0.0.1 only. */
export async function startPostgresServer(options: StartPostgresOptions): Promise<EmbeddedServer> {
  const clock = options.clock ?? systemClock;
  const notePath = join(options.dataDir, "postgres.pid.json");
  const running = await readLivingNote(notePath);
  const isWanted =
    running !== null && (options.port === undefined || options.port === running.port) && (await isReady(options.dataDir, running.pid));
  if (running && isWanted) {
    options.logger.info({ pid: running.pid, port: running.port }, "found the Postgres of an earlier run");
    return server(options.dataDir, running, notePath, true, clock);
  }
  if (running) await endProcess(running, "SIGINT", STOP_MS, clock);

  const directories = await postgresDirectories();
  const postgres = await findBinary("postgres", directories);
  if (postgres === null) throw new Error("Postgres is not installed: `apt install postgresql`, or set DATABASE_URL to one that runs.");
  const identity = await postgresIdentity();
  const cluster = await prepareCluster(options, dirname(postgres), identity);
  const port = options.port ?? (await freePort());
  const logPath = join(options.dataDir, "postgres.log");
  const child = spawnDetached(postgres, ["-D", cluster, ...settings(port, options.durable ?? true)], logPath, identity);
  if (child.pid === undefined) throw new Error(`${postgres} could not be started`);
  await writeNote(notePath, child.pid, port);
  const note = await readLivingNote(notePath);
  if (note === null) throw new Error(`Postgres ended at once:\n${await tail(logPath)}`);
  await waitUntilReady("Postgres", READY_MS, clock, async () => {
    if (!(await isAlive(note))) throw new Error(`Postgres ended while it started:\n${await tail(logPath)}`);
    return isReady(options.dataDir, note.pid);
  });
  return server(options.dataDir, note, notePath, false, clock);
}

function settings(port: number, durable: boolean): string[] {
  const values: Record<string, string | number> = {
    port,
    listen_addresses: "127.0.0.1",
    unix_socket_directories: "",
    max_connections: 100,
    shared_buffers: "64MB",
    ...(durable ? {} : { fsync: "off", synchronous_commit: "off", full_page_writes: "off" }),
  };
  return Object.entries(values).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
}

/** Postgres refuses to run as root: then it runs as the user its package made. */
async function postgresIdentity(): Promise<Identity> {
  if (process.getuid?.() !== 0) return {};
  const ids = await Promise.all(["-u", "-g"].map((flag) => run("id", [flag, "postgres"]))).catch((cause: unknown) => {
    throw new Error("Postgres cannot run as root and there is no user `postgres`: `useradd --system postgres`, or set DATABASE_URL.", {
      cause,
    });
  });
  const [uid, gid] = ids.map(({ stdout }) => Number(stdout));
  return uid === undefined || gid === undefined ? {} : { uid, gid };
}

/** The cluster directory, made by initdb at the first start: under another name first, so that a half-made one is never taken for whole. */
async function prepareCluster(options: StartPostgresOptions, binDir: string, identity: Identity): Promise<string> {
  const { dataDir } = options;
  const cluster = join(dataDir, CLUSTER);
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  const { uid, gid } = identity;
  if (uid !== undefined && gid !== undefined) await chown(dataDir, uid, gid);
  if (await stat(cluster).catch(() => null)) return cluster;
  options.logger.info({ cluster }, "making the Postgres cluster");
  const unfinished = `${cluster}.unfinished`;
  await rm(unfinished, { recursive: true, force: true });
  const passwordPath = await ensurePassword(dataDir, identity);
  const args = [
    "-D",
    unfinished,
    "-U",
    USER,
    "--auth=scram-sha-256",
    `--pwfile=${passwordPath}`,
    "--encoding=UTF8",
    "--locale=C.UTF-8",
    "--no-sync",
  ];
  await run(join(binDir, "initdb"), args, { ...identity, cwd: "/", timeout: INITDB_MS }).catch((cause: unknown) => {
    throw new Error(`initdb failed in ${cluster}: ${messageOf(cause)}`, { cause });
  });
  await rename(unfinished, cluster);
  return cluster;
}

/** As pg_ctl asks: the first line of the server's own note is its pid, the last one says how far it has come. */
async function isReady(dataDir: string, pid: number): Promise<boolean> {
  const lines = (await readFile(join(dataDir, CLUSTER, "postmaster.pid"), "utf8").catch(() => "")).split("\n");
  return Number(lines[0]) === pid && lines[7]?.trim() === "ready";
}

/** Made once, for the one who can read this directory: other users of the machine reach 127.0.0.1 too. */
async function ensurePassword(dataDir: string, { uid, gid }: Identity): Promise<string> {
  const path = join(dataDir, "password");
  await writeFile(path, randomBytes(24).toString("base64url"), { mode: 0o600, flag: "wx" }).catch((error: unknown) => {
    if (!isErrno(error, "EEXIST")) throw error;
  });
  if (uid !== undefined && gid !== undefined) await chown(path, uid, gid);
  return path;
}

async function server(dataDir: string, note: ProcessNote, notePath: string, adopted: boolean, clock: Clock): Promise<EmbeddedServer> {
  const password = await readFile(join(dataDir, "password"), "utf8");
  return {
    url: `postgres://${USER}:${password}@127.0.0.1:${note.port}/${DATABASE}`,
    port: note.port,
    pid: note.pid,
    adopted,
    async stop() {
      // Fast shutdown: ends sessions, keeps everything committed.
      await endProcess(note, "SIGINT", STOP_MS, clock);
      await removeNote(notePath);
    },
  };
}
