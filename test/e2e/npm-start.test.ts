import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterEach, beforeEach, expect, it } from "vitest";
import { removeDataDir } from "./clear-away.ts";
import { collect, IMAGE_MS, makeDataDir, PATIENCE_MS, ROOT, subnetOf } from "./start-banyan.ts";

const NOBODY = 65_534;
let dataDir: string;

beforeEach(async () => {
  dataDir = await makeDataDir();
});
afterEach(() => removeDataDir(dataDir));

const start = (args: string[], options: { env?: Record<string, string>; uid?: number } = {}) => {
  const env = {
    ...process.env,
    BANYAN_NODE_SUBNET: subnetOf(dataDir),
    BANYAN_NODE_DISK_MB: "4096",
    BANYAN_HEALTH_PORT: "0",
    ...options.env,
  };
  return spawn("node", [join(ROOT, "infra/setup/start.mjs"), "--data-dir", dataDir, "--port", "0", "--pool-size", "2", ...args], {
    env,
    cwd: "/",
    stdio: ["ignore", "pipe", "pipe"],
    ...(options.uid !== undefined && { uid: options.uid, gid: options.uid }),
  });
};

it(
  "sets up, starts, shows a demonstration with its times, and ends",
  async () => {
    const child = start(["--demo-only"]);
    const output = collect(child);
    const [code] = await once(child, "exit");
    expect(output()).toMatch(/API +http:\/\/127\.0\.0\.1:\d+/);
    expect(output()).toMatch(/API key +bny_/);
    for (const row of ["create a sandbox", "run Python on it", "read the file again"])
      expect(output()).toMatch(new RegExp(`${row} +\\d+\\.\\d`));
    expect(code).toBe(0);
  },
  IMAGE_MS + PATIENCE_MS,
);

it("explains its flags", async () => {
  const { stdout } = await promisify(execFile)("node", [join(ROOT, "infra/setup/start.mjs"), "--help"]);
  expect(stdout).toMatch(/--no-demo/);
  expect(stdout).toMatch(/--port <port>/);
});

it.each([
  ["an unknown flag", ["--colour"], {}, /Unknown option '--colour'/],
  ["a user that is not root", [], { uid: NOBODY }, /must run as root: .*\n.*sudo npm start/],
  [
    "a Docker Engine that does not answer",
    [],
    { env: { DOCKER_HOST: "unix:///nonexistent.sock" } },
    /No Docker Engine answers at DOCKER_HOST/,
  ],
])("says in one sentence what is wrong with %s", async (_, args, options, sentence) => {
  const child = start(args, options);
  const output = collect(child);
  const [code] = await once(child, "exit");
  expect(code).toBe(1);
  expect(output()).toMatch(sentence);
  expect(output()).not.toMatch(/\n\s+at /);
});
