import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdir, readFile, rm } from "node:fs/promises";
import { request } from "node:http";
import { join } from "node:path";
import { promisify } from "node:util";
import { type Clock, type Logger, systemClock } from "@banyan/kernel";
import { removeStalePidFile } from "./pid-file.ts";
import { endProcess, readLivingNote, removeNote } from "./process-note.ts";
import { spawnServer } from "./spawn-server.ts";

const run = promisify(execFile);
const READY_MS = 60_000;
const STOP_MS = 30_000;
const CALL_MS = 30_000;
/** Sockets have paths of at most 107 bytes, and what lies here must not outlive the machine's run. */
const RUN_ROOT = "/run/banyan";

export interface EmbeddedDocker {
  /** As DOCKER_HOST has it. */
  readonly host: string;
  readonly pid: number;
  readonly adopted: boolean;
  /** Removes the containers that are left and ends the engine. */
  stop(): Promise<void>;
}

export interface StartDockerOptions {
  dataDir: string;
  logger: Logger;
  clock?: Clock;
}

/**
 * A Docker Engine of our own, as a child process beside whatever else the host runs. It makes no network and touches no firewall: slots
 * get their network from the runner. With `--live-restore` the slots outlive a killed engine and are found again.
 */
export async function startDockerEngine(options: StartDockerOptions): Promise<EmbeddedDocker> {
  const clock = options.clock ?? systemClock;
  const { dataDir } = options;
  await mkdir(dataDir, { recursive: true, mode: 0o710 });
  const runDir = join(RUN_ROOT, createHash("sha256").update(dataDir).digest("hex").slice(0, 12));
  const socketPath = join(runDir, "docker.sock");
  const notePath = join(dataDir, "dockerd.pid.json");

  const running = await readLivingNote(notePath);
  if (running && (await answers(socketPath))) {
    options.logger.info({ pid: running.pid }, "found the Docker Engine of an earlier run");
    return { host: `unix://${socketPath}`, pid: running.pid, adopted: true, stop: () => stop(running.pid) };
  }
  if (running) await endProcess(running, "SIGTERM", STOP_MS, clock);

  await mkdir(runDir, { recursive: true, mode: 0o711 });
  // A pid file of a killed engine may name a living process of somebody else; then dockerd refuses to start.
  await rm(join(runDir, "docker.pid"), { force: true });
  // The containerd it started may live on and is then taken over; one that does not is waited for in vain.
  await removeStalePidFile({ path: join(runDir, "exec/containerd/containerd.pid"), name: "containerd", clock });
  const note = await spawnServer({
    binary: "dockerd",
    args: dockerdArgs(join(dataDir, "root"), runDir, socketPath),
    identity: {},
    logPath: join(dataDir, "dockerd.log"),
    notePath,
    port: 0,
    absent: "The Docker Engine is not installed: `apt install docker.io`, or set DOCKER_HOST to one that runs.",
    readyMs: READY_MS,
    isReady: () => answers(socketPath),
    clock,
  });
  return { host: `unix://${socketPath}`, pid: note.pid, adopted: false, stop: () => stop(note.pid) };

  async function stop(pid: number): Promise<void> {
    const living = await readLivingNote(notePath);
    if (living?.pid === pid) {
      await removeContainers(socketPath);
      await endProcess(living, "SIGTERM", STOP_MS, clock);
    }
    await removeNote(notePath);
    await unmountBelow(dataDir);
    await unmountBelow(runDir);
    await rm(runDir, { recursive: true, force: true });
  }
}

function dockerdArgs(dataRoot: string, runDir: string, socketPath: string): string[] {
  return [
    `--data-root=${dataRoot}`,
    `--exec-root=${join(runDir, "exec")}`,
    `--pidfile=${join(runDir, "docker.pid")}`,
    `--host=unix://${socketPath}`,
    "--live-restore",
    "--bridge=none",
    "--iptables=false",
    "--ip6tables=false",
    "--ip-forward=false",
    "--log-level=warn",
  ];
}

/** Where `/` is not a shared mount the engine mounts its data directory on itself, and with --live-restore it may leave it so. */
async function unmountBelow(directory: string): Promise<void> {
  const mountinfo = await readFile("/proc/self/mountinfo", "utf8");
  const points = mountinfo.split("\n").map((line) => line.split(" ")[4] ?? "");
  for (const point of points.filter((path) => path.startsWith(`${directory}/`)).reverse()) await run("umount", [point]);
}

/** With --live-restore they would go on without the engine. */
async function removeContainers(socketPath: string): Promise<void> {
  const { body } = await call(socketPath, "GET", "/containers/json?all=true");
  const listed = JSON.parse(body) as { Id: string }[];
  await Promise.all(listed.map(({ Id }) => call(socketPath, "DELETE", `/containers/${Id}?force=true&v=true`)));
}

const answers = (socketPath: string): Promise<boolean> =>
  call(socketPath, "GET", "/_ping").then(
    ({ status }) => status === 200,
    () => false,
  );

/** The few calls made here do not need a client. */
function call(socketPath: string, method: string, path: string): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const asked = request({ socketPath, method, path, timeout: CALL_MS }, (response) => {
      let body = "";
      response.setEncoding("utf8");
      response.on("data", (chunk: string) => {
        body += chunk;
      });
      response.once("end", () => resolve({ status: response.statusCode ?? 0, body }));
      response.once("error", reject);
    });
    asked.once("timeout", () => asked.destroy(new Error(`the Docker Engine did not answer ${path} within ${CALL_MS} ms`)));
    asked.once("error", reject);
    asked.end();
  });
}
