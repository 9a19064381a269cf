import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { chown, mkdir, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { type Clock, messageOf, systemClock } from "@banyan/kernel";
import { freePort } from "./free-port.ts";
import type { EmbeddedServer, StartServerOptions } from "./nats-server.ts";
import { removeStalePidFile } from "./pid-file.ts";
import { endProcess, isErrno, type ProcessNote, readLivingNote, removeNote } from "./process-note.ts";
import { type Identity, spawnServer } from "./spawn-server.ts";

const run = promisify(execFile);
const INITDB_MS = 120_000;
const READY_MS = 60_000;
const STOP_MS = 20_000;
const USER = "banyan";
const DATABASE = "postgres";
const DEBIAN_ROOT = "/usr/lib/postgresql";
const ABSENT = "Postgres is not installed: `apt install postgresql`, or set DATABASE_URL to one that runs.";

export interface StartPostgresOptions extends StartServerOptions {
  /** False: a crash of the machine may lose the database. For tests. Default true. */
  durable?: boolean;
}

/** A real Postgres as a child process with its own data directory, on 127.0.0.1 only. */
export async function startPostgresServer(options: StartPostgresOptions): Promise<EmbeddedServer> {
  const { dataDir, logger, clock = systemClock } = options;
  const notePath = join(dataDir, "postgres.pid.json");
  const found = await readLivingNote(notePath);
  if (found !== null) {
    const isWanted = (options.port ?? found.port) === found.port && (await isReady(dataDir, found.pid));
    if (isWanted) {
      logger.info({ pid: found.pid, port: found.port }, "found the Postgres of an earlier run");
      return postgresServer(dataDir, found, notePath, true, clock);
    }
    await endProcess(found, "SIGINT", STOP_MS, clock);
  }
  const binary = await findBinaries();
  const identity = await findIdentity();
  await prepareCluster(options, binary("initdb"), identity);
  await removeStalePidFile({ path: pidFileOf(dataDir), name: "postgres", directory: clusterOf(dataDir), clock });
  const port = options.port ?? (await freePort());
  const note = await spawnServer({
    binary: binary("postgres"),
    args: ["-D", clusterOf(dataDir), ...settings(port, options.durable ?? true)],
    identity,
    logPath: join(dataDir, "postgres.log"),
    notePath,
    port,
    absent: ABSENT,
    readyMs: READY_MS,
    isReady: (pid) => isReady(dataDir, pid),
    clock,
  });
  return postgresServer(dataDir, note, notePath, false, clock);
}

const clusterOf = (dataDir: string): string => join(dataDir, "cluster");
const pidFileOf = (dataDir: string): string => join(clusterOf(dataDir), "postmaster.pid");
const passwordOf = (dataDir: string): string => join(dataDir, "password");

/** Debian keeps each version in a folder of its own and off PATH: the newest of them, else what PATH has. */
async function findBinaries(): Promise<(name: string) => string> {
  const versions = await readdir(DEBIAN_ROOT).catch((error: unknown) => {
    if (isErrno(error, "ENOENT")) return [];
    throw error;
  });
  const newest = versions
    .map(Number)
    .filter(Number.isInteger)
    .sort((a, b) => b - a)[0];
  return (name) => (newest === undefined ? name : join(DEBIAN_ROOT, String(newest), "bin", name));
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
async function findIdentity(): Promise<Identity> {
  if (process.getuid?.() !== 0) return {};
  const ids = await Promise.all(["-u", "-g"].map((flag) => run("id", [flag, "postgres"]))).catch((cause: unknown) => {
    throw new Error("Postgres cannot run as root and there is no user `postgres`: `useradd --system postgres`, or set DATABASE_URL.", {
      cause,
    });
  });
  const [uid, gid] = ids.map(({ stdout }) => Number(stdout));
  return uid === undefined || gid === undefined ? {} : { uid, gid };
}

/** The cluster is made by initdb at the first start: under another name first, so that a half-made one is never taken for whole. */
async function prepareCluster({ dataDir, logger }: StartPostgresOptions, initdb: string, identity: Identity): Promise<void> {
  const cluster = clusterOf(dataDir);
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  await own(dataDir, identity);
  if (await exists(cluster)) return;
  logger.info({ cluster }, "making the Postgres cluster");
  await ensurePassword(dataDir, identity);
  const unfinished = `${cluster}.unfinished`;
  await rm(unfinished, { recursive: true, force: true });
  const args = [
    "-D",
    unfinished,
    "-U",
    USER,
    "--auth=scram-sha-256",
    `--pwfile=${passwordOf(dataDir)}`,
    "--encoding=UTF8",
    "--locale=C.UTF-8",
  ];
  await run(initdb, args, { ...identity, cwd: "/", timeout: INITDB_MS }).catch((cause: unknown) => {
    if (isErrno(cause, "ENOENT")) throw new Error(ABSENT, { cause });
    throw new Error(`initdb failed in ${dataDir}, which user ${identity.uid ?? "we"} must be able to reach: ${messageOf(cause)}`, {
      cause,
    });
  });
  await rename(unfinished, cluster);
}

/** Made once, for the one who can read this directory: other users of the machine reach 127.0.0.1 too. */
async function ensurePassword(dataDir: string, identity: Identity): Promise<void> {
  if (await exists(passwordOf(dataDir))) return;
  await writeFile(passwordOf(dataDir), randomBytes(24).toString("base64url"), { mode: 0o600 });
  await own(passwordOf(dataDir), identity);
}

async function own(path: string, { uid, gid }: Identity): Promise<void> {
  if (uid !== undefined && gid !== undefined) await chown(path, uid, gid);
}

const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    (error: unknown) => {
      if (isErrno(error, "ENOENT")) return false;
      throw error;
    },
  );

/** As pg_ctl asks: the first line of the server's own note is its pid, the eighth says how far it has come. */
async function isReady(dataDir: string, pid: number): Promise<boolean> {
  // Not there yet, or not any more: a server that cannot have its port takes it away.
  const text = await readFile(pidFileOf(dataDir), "utf8").catch((error: unknown) => {
    if (isErrno(error, "ENOENT")) return "";
    throw error;
  });
  const lines = text.split("\n");
  return Number(lines[0]) === pid && lines[7]?.trim() === "ready";
}

async function postgresServer(
  dataDir: string,
  note: ProcessNote,
  notePath: string,
  adopted: boolean,
  clock: Clock,
): Promise<EmbeddedServer> {
  const password = await readFile(passwordOf(dataDir), "utf8");
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
