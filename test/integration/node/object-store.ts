import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { connect } from "node:net";
import { dirname, join } from "node:path";
import type { Remote } from "@banyan/contracts";
import { newId } from "@banyan/kernel";
import type { ObjectSource } from "@banyan/runtime";
import { eventually, freePort } from "@banyan/testkit";

const BUCKET = "banyan";
export const SECRET = "S3RVER";
const SERVER = join(dirname(createRequire(import.meta.url).resolve("s3rver/package.json")), "bin/s3rver.js");

/** An S3 server as a process of its own: what its mounts wait for does not wait for the test. */
export interface ObjectStore {
  remote(changes?: Partial<Remote>): Remote;
  source(): ObjectSource;
  /** What the bucket holds at `path`, as anyone but us reads it. Null: nothing. */
  object(path: string): Promise<string | null>;
  kill(): Promise<void>;
  start(): Promise<void>;
  stop(): Promise<void>;
}

export async function startObjectStore(): Promise<ObjectStore> {
  const directory = mkdtempSync("/var/tmp/bny-s3-");
  const port = await freePort();
  let child: ChildProcess | null = null;
  const runs = (): boolean => child !== null && child.exitCode === null && child.signalCode === null;
  const start = async (): Promise<void> => {
    if (runs()) return;
    const args = [
      SERVER,
      "--directory",
      directory,
      "--address",
      "127.0.0.1",
      "--port",
      String(port),
      "--silent",
      "--configure-bucket",
      BUCKET,
    ];
    child = spawn(process.execPath, args, { stdio: "ignore" });
    await eventually(() => listens(port), { intervalMs: 50 });
  };
  const kill = async (): Promise<void> => {
    if (child === null || !runs()) return;
    const ended = once(child, "exit");
    child.kill("SIGKILL");
    await ended;
  };
  await start();
  const remote = (changes: Partial<Remote> = {}): Remote => ({
    type: "s3",
    path: BUCKET,
    options: { provider: "Other", endpoint: `http://127.0.0.1:${port}`, region: "us-east-1", force_path_style: "true" },
    secrets: { access_key_id: "S3RVER", secret_access_key: SECRET },
    ...changes,
  });
  return {
    remote,
    // A prefix of its own, so that no test sees what another left.
    source: () => {
      const volumeId = newId("vol");
      return { kind: "object", store: "object", volumeId, remote: remote({ path: `${BUCKET}/${volumeId}` }) };
    },
    async object(path) {
      const reply = await fetch(`http://127.0.0.1:${port}/${path}`);
      return reply.ok ? reply.text() : null;
    },
    kill,
    start,
    async stop() {
      await kill();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => resolve(true)).once("error", () => resolve(false));
    socket.once("connect", () => socket.destroy());
  });
}
