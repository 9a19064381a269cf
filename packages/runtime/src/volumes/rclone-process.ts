import { spawn } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { isAlive, type ProcessRef, processStartTime } from "@banyan/kernel";
import { mountAt } from "../host/mounts.ts";
import { type MountArgs, mountArgs, objectsUnreachable, rcloneEnvironment } from "./rclone.ts";
import { withoutSecrets } from "./remote-options.ts";

const MOUNT_TIMEOUT_MS = 20_000;
const POLL_MS = 25;
const FS_TYPE = "fuse.rclone";
/** Where a mount's command line names its mount point. */
const MOUNT_POINT_AT = 3;

export const isMounted = (mountPoint: string): boolean => mountAt(mountPoint)?.fsType === FS_TYPE;

/** An rclone that serves this mount point, in a process group of its own. Resolves when the volume is mounted. */
export async function startRclone(args: MountArgs): Promise<ProcessRef> {
  const env = await rcloneEnvironment(args.remote);
  const reason = (): string => withoutSecrets(lastWords(args.logPath), args.remote);
  const child = spawn("rclone", mountArgs(args), { detached: true, stdio: "ignore", env, cwd: "/" });
  const ended = Promise.withResolvers<never>();
  child.once("error", ({ message }) => ended.reject(objectsUnreachable(message)));
  child.once("exit", () => ended.reject(objectsUnreachable(reason())));
  ended.promise.catch(() => {});
  child.unref();
  try {
    await Promise.race([ended.promise, mounted(args.mountPoint)]);
    const startTime = child.pid === undefined ? null : processStartTime(child.pid);
    if (child.pid === undefined || startTime === null) throw objectsUnreachable(reason());
    return { pid: child.pid, startTime };
  } catch (error) {
    child.kill("SIGKILL");
    throw error;
  }
}

/** Those that an earlier process of ours has left, by the mount point that each serves. */
export function findRclones(): Map<string, ProcessRef> {
  const found = new Map<string, ProcessRef>();
  for (const name of readdirSync("/proc")) {
    const pid = Number(name);
    const argv = Number.isInteger(pid) ? commandLine(pid) : [];
    const mountPoint = argv[MOUNT_POINT_AT];
    const startTime = argv[0] === "rclone" && argv[1] === "mount2" ? processStartTime(pid) : null;
    if (mountPoint !== undefined && startTime !== null) found.set(mountPoint, { pid, startTime });
  }
  return found;
}

export async function hasEnded(process: ProcessRef, withinMs: number): Promise<boolean> {
  for (let waitedMs = 0; waitedMs < withinMs && isAlive(process); waitedMs += POLL_MS) await sleep(POLL_MS);
  return !isAlive(process);
}

function commandLine(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
  } catch {
    return [];
  }
}

function lastWords(logPath: string): string {
  try {
    return readFileSync(logPath, "utf8").trim().split("\n").at(-1) || "rclone ended";
  } catch {
    return "rclone ended";
  }
}

async function mounted(mountPoint: string): Promise<void> {
  for (let waitedMs = 0; waitedMs < MOUNT_TIMEOUT_MS; waitedMs += POLL_MS) {
    if (isMounted(mountPoint)) return;
    await sleep(POLL_MS);
  }
  throw objectsUnreachable(`not mounted within ${MOUNT_TIMEOUT_MS} ms`);
}
