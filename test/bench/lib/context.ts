import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { createWriteStream, existsSync } from "node:fs";
import { mkdir, readdir, rm } from "node:fs/promises";
import { join, resolve } from "node:path";
import { eventually, freePort } from "@banyan/testkit";
import { freeSubnet } from "../../integration/node/free-subnet.ts";
import { BenchClient } from "./http.ts";
import { type Peers, preparePeers } from "./peers.ts";

const ROOT = resolve(import.meta.dirname, "../../..");
const START_TIMEOUT_MS = 600_000;
const STOP_TIMEOUT_MS = 60_000;
const BENCH_DATA_DIR = "/var/lib/banyan-bench";

export type BenchOptions = Partial<Record<"count" | "nodes" | "chaos" | "max" | "maker" | "only" | "sizeMb", string | undefined>>;

/** The bench's own. */
export interface BenchServer {
  pid: number;
  dataDir: string;
}

export interface BenchContext {
  client: BenchClient;
  /** Null: it measures another one, by --url. */
  server: BenchServer | null;
  /** Samples asked for on the command line; undefined: the bench's own number. */
  n: number | undefined;
  /** What a single bench is asked on the command line. */
  options: BenchOptions;
  /** Made on first use: the image takes a while to import. */
  peers(): Promise<Peers>;
  progress(text: string): void;
  /** Ends this one's server and starts another with these settings, its data where the first one's were. Null: there is no server of its own. */
  restart(settings: Record<string, string>): Promise<BenchContext | null>;
  /** Again is success. */
  close(): Promise<void>;
}

export function progress(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r${text}\u001b[K`);
}

export interface ContextOptions {
  poolSize: number;
  n: number | undefined;
  options?: BenchOptions;
  url: string | undefined;
  key: string | undefined;
  /** Of the bench's own server, beside what the environment says. */
  settings?: Record<string, string>;
}

export async function openContext(options: ContextOptions): Promise<BenchContext> {
  const server = options.url === undefined ? await startServer(options.poolSize, options.settings ?? {}) : null;
  const url = options.url ?? server?.url ?? "";
  const client = new BenchClient(url, options.key ?? server?.key ?? "");
  let peers: Peers | null = null;
  let closed: Promise<void> | null = null;
  const end = async () => {
    await peers?.close();
    await client.close();
    await server?.stop();
  };
  const close = () => {
    closed ??= end();
    return closed;
  };
  return {
    client,
    server,
    n: options.n,
    options: options.options ?? {},
    peers: async () => {
      if (server === null) throw new Error("peers need the bench's own server: leave --url out");
      peers ??= await preparePeers(await rootDir(server.dataDir));
      return peers;
    },
    progress,
    restart: async (settings) => {
      if (server === null) return null;
      await close();
      return openContext({ ...options, settings });
    },
    close,
  };
}

interface Server extends BenchServer {
  url: string;
  key: string;
  stop(): Promise<void>;
}

/** All services in another process, with data of its own; the Docker Engine is the one DOCKER_HOST names, or the server's own. */
async function startServer(poolSize: number, settings: Record<string, string>): Promise<Server> {
  await mkdir(BENCH_DATA_DIR, { recursive: true, mode: 0o755 });
  const port = await freePort();
  const key = `bny_${randomBytes(32).toString("base64url")}`;
  const url = `http://127.0.0.1:${port}`;
  const child = spawn(process.execPath, [join(ROOT, "services/standalone/src/main.ts")], {
    env: {
      ...process.env,
      ...settings,
      BANYAN_DATA_DIR: BENCH_DATA_DIR,
      BANYAN_HTTP_PORT: String(port),
      BANYAN_HEALTH_PORT: "0",
      BANYAN_NODE_SUBNET: freeSubnet("wide"),
      BANYAN_POOL_SIZE: String(poolSize),
      BANYAN_BOOTSTRAP_KEY: key,
      BANYAN_DEMO: "off",
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const log = createWriteStream(join(BENCH_DATA_DIR, "server.log"));
  child.stdout.pipe(log, { end: false });
  child.stderr.pipe(log, { end: false });
  const exited = once(child, "exit");
  const client = new BenchClient(url, key, 1);
  const ended = exited.then(() => {
    throw new Error(`the server ended with ${child.exitCode}; see ${BENCH_DATA_DIR}/server.log`);
  });
  const usable = async () => {
    const { body } = await client.create({ wait_ms: 60_000 });
    await client.remove(body.id);
  };
  try {
    await Promise.race([eventually(usable, { timeoutMs: START_TIMEOUT_MS }), ended]);
  } catch (error) {
    child.kill("SIGTERM");
    throw error;
  } finally {
    await client.close();
  }
  return { url, key, pid: child.pid ?? 0, dataDir: BENCH_DATA_DIR, stop: () => stopServer(child, exited) };
}

async function stopServer(child: ChildProcess, exited: Promise<unknown>): Promise<void> {
  child.kill("SIGTERM");
  const timer = setTimeout(() => child.kill("SIGKILL"), STOP_TIMEOUT_MS);
  await exited;
  clearTimeout(timer);
  await rm(join(BENCH_DATA_DIR, "server.log"), { force: true });
}

/** The default image's unpacked layer in the node's store: of all that lie there the one with a system in it. */
async function rootDir(dataDir: string): Promise<string> {
  const layers = join(dataDir, "disk/layers");
  const names = (await readdir(layers)).filter((name) => /^(sha256[-:])?[0-9a-f]{64}$/.test(name));
  const root = names.map((name) => join(layers, name)).find((path) => existsSync(join(path, "usr/bin/env")));
  if (root === undefined) throw new Error(`no layer with a system in ${layers}`);
  return root;
}
