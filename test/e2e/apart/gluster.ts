import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { eventually, freePort } from "@banyan/testkit";

const READY_MS = 30_000;
/** So long a client waits for a brick that is silent before it gives up what is under way. */
const PING_TIMEOUT_S = 3;

/** One brick of GlusterFS and clients of it on this host, each a mount of its own over FUSE: a POSIX filesystem of a network, as several machines have it. */
export interface Gluster {
  /** Mounts it at a directory of its own. */
  mount(name: string): Promise<GlusterMount>;
  /** kill -9 of the server; `start` brings it back with its files. */
  kill(): Promise<void>;
  start(): Promise<void>;
  stop(): Promise<void>;
}

export interface GlusterMount {
  readonly path: string;
  /** The client dies: all that asks it for something gets an error. */
  kill(): void;
  mount(): Promise<void>;
}

export async function startGluster(): Promise<Gluster> {
  if (!existsSync("/usr/sbin/glusterfsd")) throw new Error("GlusterFS is not here: install glusterfs-server and glusterfs-client");
  const directory = await mkdtemp("/var/tmp/gluster-");
  const at = (name: string): string => join(directory, name);
  const port = await freePort();
  mkdirSync(at("brick"));
  await writeFile(at("brick.vol"), brickOf(at("brick"), port));
  await writeFile(at("client.vol"), clientOf(port));
  const mounts: GlusterMount[] = [];
  const pidOf = (name: string): number => Number(readFileSync(at(`pid.${name}`), "utf8"));
  const start = async (): Promise<void> => {
    const args = ["-N", "-f", at("brick.vol"), "-l", at("log.brick"), "-p", at("pid.brick")];
    spawn("/usr/sbin/glusterfsd", args, { stdio: "ignore", detached: true }).unref();
    await eventually(() => listens(port), { timeoutMs: READY_MS, intervalMs: 50 });
  };
  const kill = async (): Promise<void> => {
    process.kill(pidOf("brick"), "SIGKILL");
    await eventually(() => !listens(port), { timeoutMs: READY_MS, intervalMs: 50 });
  };
  await start();
  return {
    start,
    kill,
    async mount(name) {
      const path = at(name);
      mkdirSync(path);
      const mount = async (): Promise<void> => {
        // What one sees the others see at once: nothing of a file's attributes is remembered.
        const fresh = ["--attribute-timeout=0", "--entry-timeout=0"];
        execFileSync("glusterfs", ["-f", at("client.vol"), "-l", at(`log.${name}`), "-p", at(`pid.${name}`), ...fresh, path]);
        await eventually(() => answers(path), { timeoutMs: READY_MS, intervalMs: 50 });
      };
      await mount();
      const one: GlusterMount = {
        path,
        mount,
        kill: () => {
          process.kill(pidOf(name), "SIGKILL");
          unmount(path);
        },
      };
      mounts.push(one);
      return one;
    },
    async stop() {
      for (const { path } of mounts) unmount(path);
      if (listens(port)) await kill();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

const brickOf = (directory: string, port: number): string => `
volume files
  type storage/posix
  option directory ${directory}
end-volume
volume locks
  type features/locks
  subvolumes files
end-volume
volume server
  type protocol/server
  option transport-type tcp
  option transport.socket.bind-address 127.0.0.1
  option transport.socket.listen-port ${port}
  option auth.addr.locks.allow 127.0.0.1
  subvolumes locks
end-volume
`;

const clientOf = (port: number): string => `
volume remote
  type protocol/client
  option transport-type tcp
  option remote-host 127.0.0.1
  option remote-port ${port}
  option remote-subvolume locks
  option ping-timeout ${PING_TIMEOUT_S}
end-volume
`;

function listens(port: number): boolean {
  return execFileSync("ss", ["-Hltn", `sport = :${port}`], { encoding: "utf8" }).trim() !== "";
}

function answers(path: string): boolean {
  try {
    execFileSync("stat", [path], { stdio: "ignore" });
    return readFileSync("/proc/self/mountinfo", "utf8").includes(` ${path} `);
  } catch {
    return false;
  }
}

function unmount(path: string): void {
  try {
    execFileSync("umount", ["--lazy", path], { stdio: "ignore" });
  } catch {
    // It is not mounted.
  }
}
