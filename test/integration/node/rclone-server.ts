import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import type { Remote } from "@banyan/contracts";
import { eventually, freePort } from "@banyan/testkit";

const USER = "reader";
export const PASSWORD = "a pass/word of+this test";

export interface RcloneServer {
  /** What it serves, as this host has it. */
  readonly files: string;
  remote(changes?: Partial<Remote>): Remote;
  stop(): Promise<void>;
}

/** A server that knows a user by a password and nobody else. */
export async function startRcloneServer(protocol: "webdav" | "sftp"): Promise<RcloneServer> {
  const directory = mkdtempSync(`/var/tmp/bny-${protocol}-`);
  const files = join(directory, "files");
  mkdirSync(files);
  const port = await freePort();
  const args = ["serve", protocol, files, "--addr", `127.0.0.1:${port}`, "--user", USER, "--pass", PASSWORD, "--cache-dir", directory];
  const env = { PATH: process.env.PATH, HOME: directory, RCLONE_CONFIG: "/dev/null" };
  const child = spawn("rclone", args, { stdio: "ignore", env });
  const stop = async (): Promise<void> => {
    if (child.exitCode === null && child.signalCode === null) {
      const ended = once(child, "exit");
      child.kill("SIGKILL");
      await ended;
    }
    rmSync(directory, { recursive: true, force: true });
  };
  try {
    await eventually(() => listens(port), { intervalMs: 50, timeoutMs: 30_000 });
  } catch (error) {
    await stop();
    throw error;
  }
  const options: Record<string, string> =
    protocol === "webdav"
      ? { url: `http://127.0.0.1:${port}`, vendor: "other", user: USER }
      : { host: "127.0.0.1", port: String(port), user: USER };
  return {
    files,
    remote: (changes = {}) => ({ type: protocol, path: "", options, secrets: { pass: PASSWORD }, ...changes }),
    stop,
  };
}

function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("error", () => resolve(false));
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
  });
}
