import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp } from "node:fs/promises";
import { join, resolve } from "node:path";
import { Banyan } from "@banyan/sdk";
import { freeSubnet } from "../integration/node/free-subnet.ts";

export const ROOT = resolve(import.meta.dirname, "../..");
/** The first start of a machine makes the image. */
export const IMAGE_MS = 300_000;
/** Nothing here is about speed, and the machine may be busy with much else. */
export const PATIENCE_MS = 240_000;
const READY_MS = 90_000;
const STOP_MS = 90_000;
/** Of each data directory its own, the same at each start: what runs there keeps its addresses. */
const subnets = new Map<string, string>();
/** Made by this file's tests. */
export const dataDirs = new Set<string>();
const OUTPUT_TAIL = 4_000;

export interface TestBanyan {
  readonly url: string;
  readonly apiKey: string;
  readonly pid: number;
  readonly dataDir: string;
  readonly banyan: Banyan;
  /** What it has said at the terminal. */
  output(): string;
  signal(signal: NodeJS.Signals): void;
  /** Closes the channel between the two processes, as the end of this one would. */
  hangUp(): void;
  /** The exit code, or the signal that ended it. */
  exited: Promise<number | string>;
  /** As Ctrl-C does; answers the exit code. */
  stop(): Promise<number | string>;
}

/** Short: unix sockets lie below it. Open: Postgres must pass through it. */
export async function makeDataDir(): Promise<string> {
  const dataDir = await mkdtemp("/var/tmp/bny-");
  dataDirs.add(dataDir);
  return dataDir;
}

export function subnetOf(dataDir: string): string {
  const subnet = subnets.get(dataDir) ?? freeSubnet("wide");
  subnets.set(dataDir, subnet);
  return subnet;
}

/** The whole of Banyan as a user has it: one process of its own, on free ports, with a data directory of its own. */
export async function startBanyan(dataDir: string, env: Record<string, string> = {}): Promise<TestBanyan> {
  const child = spawnBanyan(dataDir, env);
  const output = collect(child);
  const exited = once(child, "exit").then(([code, signal]) => (code ?? signal) as number | string);
  const late = AbortSignal.timeout(READY_MS);
  const ready = once(child, "message", { signal: late }).then(([message]) => message as { url: string; apiKey: string });
  const first = await Promise.race([ready, exited.then((code) => new Error(`it ended with ${code}:\n${output()}`))]).catch(
    (cause) => new Error(`not ready within ${READY_MS} ms:\n${output()}`, { cause }),
  );
  if (first instanceof Error) {
    child.kill("SIGKILL");
    await exited;
    throw first;
  }
  const { url, apiKey } = first;
  const signal = (name: NodeJS.Signals): void => void child.kill(name);
  return {
    url,
    apiKey,
    pid: child.pid ?? 0,
    dataDir,
    banyan: new Banyan({ url, apiKey }),
    output,
    signal,
    hangUp: () => child.disconnect(),
    exited,
    async stop() {
      signal("SIGINT");
      const timer = setTimeout(() => signal("SIGKILL"), STOP_MS);
      const code = await exited;
      clearTimeout(timer);
      return code;
    },
  };
}

export function spawnBanyan(dataDir: string, env: Record<string, string> = {}): ChildProcess {
  return spawn(process.execPath, [join(ROOT, "services/standalone/src/main.ts")], {
    env: {
      ...process.env,
      BANYAN_DATA_DIR: dataDir,
      BANYAN_HTTP_PORT: "0",
      BANYAN_HEALTH_PORT: "0",
      BANYAN_POOL_SIZE: "3",
      BANYAN_NODE_SUBNET: subnetOf(dataDir),
      BANYAN_NODE_DISK_MB: "4096",
      BANYAN_DEMO: "off",
      ...env,
    },
    stdio: ["ignore", "pipe", "pipe", "ipc"],
  });
}

export function collect(child: ChildProcess): () => string {
  let text = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding("utf8").on("data", (chunk: string) => {
      text = (text + chunk).slice(-OUTPUT_TAIL);
    });
  }
  return () => text;
}
