import { type ChildProcess, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { api } from "@banyan/contracts";
import { freePort } from "@banyan/testkit";
import type { VolumesWorld } from "./volumes-harness.ts";

const MAIN = join(import.meta.dirname, "../../../services/volume-manager/src/main.ts");

export interface Process {
  /** Of its data plane. */
  url: string;
  pid: number;
  /** SIGKILL. */
  kill(): Promise<void>;
  /** SIGTERM: it clears away what it has opened. */
  end(): Promise<void>;
  /** Stands still, or goes on. */
  signal(name: "SIGSTOP" | "SIGCONT"): void;
  /** Of its children, the command lines. */
  children(): string[];
}

export interface ProcessOptions {
  /** Below the world's directory. Each process has one of its own. */
  data: string;
  root?: string;
  /** Null: what lies in its data directory. */
  secretKey?: string | null;
  port?: number;
}

/** One more volume-manager of the world's cluster, as it is run. Rejects with what it said where it does not start. */
export async function startManager(world: VolumesWorld, options: ProcessOptions): Promise<Process> {
  const { data, root = world.root, secretKey = "k".repeat(32), port = await freePort() } = options;
  const { natsUrl, databaseUrl, databaseSchema, clusterToken } = world.config;
  const dataDir = join(world.directory, data);
  mkdirSync(dataDir, { recursive: true });
  const child = spawn(process.execPath, [MAIN], {
    stdio: ["ignore", "pipe", "pipe"],
    env: {
      PATH: process.env.PATH ?? "",
      NATS_URL: natsUrl,
      DATABASE_URL: databaseUrl,
      BANYAN_VOLUME_MANAGER_SCHEMA: databaseSchema,
      BANYAN_CLUSTER_TOKEN: clusterToken,
      BANYAN_DATA_DIR: dataDir,
      BANYAN_VOLUME_DIR: root,
      BANYAN_HEALTH_PORT: "0",
      BANYAN_VOLUMES_LISTEN_PORT: String(port),
      BANYAN_VOLUME_RETRY_MS: "100",
      BANYAN_VOLUME_DELETE_GRACE_S: "0",
      ...(secretKey !== null && { BANYAN_SECRET_KEY: secretKey }),
    },
  });
  await ready(child);
  const pid = child.pid ?? 0;
  const stop = async (name: "SIGKILL" | "SIGTERM"): Promise<void> => {
    child.kill(name);
    if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
  };
  return {
    url: `http://127.0.0.1:${port}`,
    pid,
    kill: () => stop("SIGKILL"),
    end: () => stop("SIGTERM"),
    signal: (name) => void child.kill(name),
    children: () => childrenOf(pid),
  };
}

async function ready(child: ChildProcess): Promise<void> {
  let said = "";
  child.stderr?.on("data", (chunk) => {
    said += String(chunk);
  });
  for await (const chunk of child.stdout ?? []) {
    said += String(chunk);
    if (said.includes('"msg":"ready"')) break;
  }
  if (!said.includes('"msg":"ready"')) throw new Error(said);
  child.stdout?.resume();
}

function childrenOf(pid: number): string[] {
  const read = (path: string): string => {
    try {
      return readFileSync(path, "utf8");
    } catch {
      // It has just ended.
      return "";
    }
  };
  const pids = read(`/proc/${pid}/task/${pid}/children`).split(" ").filter(Boolean);
  return pids.map((each) => read(`/proc/${each}/cmdline`).replaceAll("\0", " "));
}

export interface Reply {
  status: number;
  text: string;
  /** Of a JSON answer. */
  body: Record<string, unknown>;
}

export interface Ask {
  method?: string;
  query?: Record<string, string | number>;
  json?: unknown;
  bytes?: Buffer;
}

/** Asks one process for content, as the gateway does. */
export async function askAt(world: VolumesWorld, { url }: Pick<Process, "url">, path: string, ask: Ask = {}): Promise<Reply> {
  const { method = "GET", query = {}, json, bytes } = ask;
  const address = new URL(`${url}/volumes/${path}`);
  for (const [name, value] of Object.entries(query)) address.searchParams.set(name, String(value));
  const names = api.FORWARD_HEADERS;
  const response = await fetch(address, {
    method,
    headers: { [names.authorization]: `Bearer ${world.config.clusterToken}`, [names.orgId]: world.orgId },
    ...(json !== undefined && { body: JSON.stringify(json) }),
    ...(bytes !== undefined && { body: new Uint8Array(bytes) }),
  });
  const text = await response.text();
  return { status: response.status, text, body: text.startsWith("{") ? JSON.parse(text) : {} };
}

export const digestOf = (bytes: Buffer): string => createHash("sha256").update(bytes).digest("hex");
