import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { isAlive, processStartTime, silentLogger } from "@banyan/kernel";
import { type EmbeddedServer, startDockerEngine, startNatsServer, startPostgresServer } from "@banyan/service";
import { eventually, freePort } from "@banyan/testkit";
import postgres from "postgres";
import { afterEach, beforeEach, expect, it } from "vitest";

/** Starts a program, says its pid, and becomes a program that never asks what became of its children. */
const CARELESS = '"$@" > /dev/null 2>&1 & echo $!; exec sleep 1000';
const parents: ChildProcess[] = [];
const servers: EmbeddedServer[] = [];
let dataDir: string;

beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), "banyan-killed-"));
});
afterEach(async () => {
  for (const parent of parents.splice(0)) parent.kill("SIGKILL");
  for (const server of servers.splice(0)) await server.stop();
  await rm(dataDir, { recursive: true, force: true });
});

async function startUnder(command: string[]): Promise<number> {
  const parent = spawn("sh", ["-c", CARELESS, "sh", ...command], { stdio: ["ignore", "pipe", "ignore"], cwd: "/" });
  parents.push(parent);
  const [line] = await once(createInterface({ input: parent.stdout }), "line");
  return Number(line);
}

/** Ended, and its number taken for as long as its parent lives. */
async function killToZombie(pid: number): Promise<void> {
  process.kill(pid, "SIGKILL");
  await eventually(() => /^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8")));
}

async function start(): Promise<EmbeddedServer> {
  const server = await startPostgresServer({ dataDir, logger: silentLogger, durable: false });
  servers.push(server);
  return server;
}

/** A postmaster on the cluster of this directory, as another starter would have it; its lock file names it. */
async function startPostmaster(): Promise<number> {
  await (await start()).stop();
  const binary = execFileSync("sh", ["-c", "ls /usr/lib/postgresql/*/bin/postgres | sort -V | tail -1"], { encoding: "utf8" }).trim();
  const cluster = join(dataDir, "cluster");
  const args = [
    binary,
    "-D",
    cluster,
    "-c",
    `port=${await freePort()}`,
    "-c",
    "listen_addresses=127.0.0.1",
    "-c",
    "unix_socket_directories=",
  ];
  const identity = process.getuid?.() === 0 ? ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"] : [];
  const pid = await startUnder([...identity, ...args]);
  await eventually(() => readFileSync(lockFile(), "utf8").includes("ready"), { timeoutMs: 30_000 });
  return pid;
}
const lockFile = (): string => join(dataDir, "cluster/postmaster.pid");

it("takes a killed process for ended, though its parent has not heard of it", async () => {
  const pid = await startUnder(["sleep", "1000"]);
  const startTime = processStartTime(pid) ?? 0;
  expect(isAlive({ pid, startTime })).toBe(true);
  await killToZombie(pid);
  expect(() => process.kill(pid, 0)).not.toThrow();
  expect(processStartTime(pid)).toBeNull();
  expect(isAlive({ pid, startTime })).toBe(false);
});

it("takes a process for living while one of its threads does", async () => {
  const lives =
    "import os, threading, ctypes, time; threading.Thread(target=time.sleep, args=(1000,)).start(); ctypes.CDLL(None).pthread_exit(0)";
  const pid = await startUnder(["python3", "-c", lives]);
  await eventually(() => /^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8")));
  expect(processStartTime(pid)).not.toBeNull();
  process.kill(pid, "SIGKILL");
  await eventually(() => processStartTime(pid) === null);
});

it("starts Postgres on the cluster of a killed one whose parent has not heard of its end", async () => {
  const killed = await startPostmaster();
  await killToZombie(killed);
  expect(readFileSync(lockFile(), "utf8")).toMatch(new RegExp(`^${killed}\n`));
  const server = await start();
  expect(server).toMatchObject({ adopted: false });
  const sql = postgres(server.url, { max: 1 });
  expect(await sql`select 1 as one`).toEqual([{ one: 1 }]);
  await sql.end();
});

it("starts Postgres where a stranger has the number of the killed one", async () => {
  await (await start()).stop();
  // The user matters: Postgres itself sees through the processes of others.
  const stranger = await startUnder(["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", "sleep", "1000"]);
  writeFileSync(lockFile(), `${stranger}\n${join(dataDir, "cluster")}\n`);
  await start();
  expect(processStartTime(stranger)).not.toBeNull();
});

it("leaves the lock of a Postgres that lives, though nobody has noted it", async () => {
  const living = await startPostmaster();
  await expect(start()).rejects.toThrow(/lock file "postmaster.pid" already exists/);
  expect(readFileSync(lockFile(), "utf8")).toMatch(new RegExp(`^${living}\n`));
  process.kill(living, "SIGINT");
  await eventually(() => !existsSync(lockFile()), { timeoutMs: 30_000 });
});

it("starts NATS on the store of a killed one whose parent has not heard of its end", async () => {
  const first = await startNatsServer({ dataDir, logger: silentLogger });
  servers.push(first);
  await first.stop();
  const killed = await startUnder(["nats-server", "-c", join(dataDir, "nats.conf")]);
  const startTime = processStartTime(killed);
  writeFileSync(join(dataDir, "nats.pid.json"), JSON.stringify({ pid: killed, startTime, port: first.port }));
  await killToZombie(killed);
  const server = await startNatsServer({ dataDir, port: first.port, logger: silentLogger });
  servers.push(server);
  expect(server).toMatchObject({ adopted: false, port: first.port });
});

it("starts a Docker Engine where the containerd of a killed one has ended and nobody has heard of it", async () => {
  const killed = await startUnder(["sleep", "1000"]);
  await killToZombie(killed);
  const runDir = join("/run/banyan", createHash("sha256").update(dataDir).digest("hex").slice(0, 12));
  mkdirSync(join(runDir, "exec/containerd"), { recursive: true });
  writeFileSync(join(runDir, "exec/containerd/containerd.pid"), `${killed}`);
  const engine = await startDockerEngine({ dataDir, logger: silentLogger });
  expect(engine.adopted).toBe(false);
  await engine.stop();
  expect(existsSync(runDir)).toBe(false);
});
