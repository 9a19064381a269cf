import { execFile } from "node:child_process";
import { join } from "node:path";
import type { Banyan, Fork, ForkChild, Sandbox } from "@banyan/sdk";
import { eventually } from "@banyan/testkit";
import { afterAll, afterEach, beforeAll, expect } from "vitest";
import { endBanyan } from "./clear-away.ts";
import { IMAGE_MS, makeDataDir, PATIENCE_MS, ROOT, startBanyan, type TestBanyan } from "./start-banyan.ts";
import { untilReady } from "./until-ready.ts";

const CLI = join(ROOT, "packages/cli/src/main.ts");
/** What a test of a fork may take. */
export const FORK_MS = 120_000;

export interface Run {
  code: number;
  stdout: string;
  stderr: string;
}

export interface ForkingBanyan {
  readonly banyan: Banyan;
  readonly url: string;
  readonly apiKey: string;
  /** A sandbox that has run this; deleted after the test. */
  prepared(command?: string): Promise<Sandbox>;
  /** Deleted with its children after the test. */
  tidied(fork: Promise<Fork>): Promise<Fork>;
  cli(...args: string[]): Promise<Run>;
}

/** A Banyan for the tests of one file, which is empty again after each. */
export function forkingBanyan(): ForkingBanyan {
  let running: TestBanyan;
  const made: Sandbox[] = [];
  const forked: Fork[] = [];
  beforeAll(async () => {
    running = await startBanyan(await makeDataDir(), { BANYAN_POOL_SIZE: "6" });
    await untilReady(running.banyan);
  }, IMAGE_MS + PATIENCE_MS);
  afterEach(async () => {
    for (const fork of forked.splice(0)) await fork.cancel({ deleteChildren: true });
    for (const sandbox of made.splice(0)) await sandbox.delete();
    await eventually(async () => (await running.banyan.usage()).usage.sandboxes === 0, { timeoutMs: PATIENCE_MS });
  }, PATIENCE_MS);
  afterAll(() => endBanyan(running), PATIENCE_MS);
  return {
    get banyan() {
      return running.banyan;
    },
    get url() {
      return running.url;
    },
    get apiKey() {
      return running.apiKey;
    },
    async prepared(command = "echo prepared > /workspace/base") {
      const sandbox = await running.banyan.sandboxes.create({ waitMs: 60_000, env: { GREETING: "hello" }, labels: { of: "parent" } });
      made.push(sandbox);
      expect((await sandbox.exec(command)).exitCode).toBe(0);
      return sandbox;
    },
    async tidied(fork) {
      const started = await fork;
      forked.push(started);
      return started;
    },
    cli(...args) {
      const env = { ...process.env, NO_COLOR: "1", BANYAN_URL: running.url, BANYAN_API_KEY: running.apiKey };
      return new Promise((resolve) => {
        execFile(process.execPath, [CLI, ...args], { env }, (error, stdout, stderr) =>
          resolve({ code: error === null ? 0 : Number(error.code ?? 1), stdout, stderr }),
        );
      });
    },
  };
}

/** In the order of their indices. */
export async function childrenOf(fork: Fork): Promise<ForkChild[]> {
  const children: ForkChild[] = [];
  for await (const child of fork) children.push(child);
  return children.toSorted((a, b) => a.index - b.index);
}
export const outputs = (children: ForkChild[]): (string | undefined)[] => children.map(({ outcome }) => outcome?.stdout);

export async function outputOf(sandbox: { exec: Sandbox["exec"] }, command: string): Promise<string> {
  const { stdout, stderr, exitCode } = await sandbox.exec(command);
  expect(exitCode, stderr).toBe(0);
  return stdout.trim();
}

export function expectCounts(fork: Fork, counts: Partial<Fork["info"]["counts"]>): void {
  const { total, ...states } = fork.info.counts;
  expect(Object.values(states).reduce((sum, one) => sum + one, 0)).toBe(total);
  expect(fork.info.counts).toMatchObject(counts);
}
