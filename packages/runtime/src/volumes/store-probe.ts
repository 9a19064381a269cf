import { spawn } from "node:child_process";
import { messageOf } from "@banyan/kernel";
import { markerPath, parseMarker } from "./store.ts";

export type StoreSeen = { state: "ok"; storeId: string } | { state: "lost"; reason: string };

/** Runs a command of the host in a process beside, and ends it at the timeout. */
export type RunBeside = (argv: string[], options: { timeoutMs: number }) => Promise<{ exitCode: number | null; output: string }>;

export interface StoreProbeOptions {
  timeoutMs: number;
  /** Left out: by a process of ours. A node has its helper, for which one costs less. */
  run?: RunBeside;
}

const OUTPUT_CHARS_MAX = 4_096;

/**
 * Looks whether a store is there, in a process beside: a network filesystem that hangs takes that one, and not a thread of ours. While an earlier
 * look hangs no other is begun.
 */
export class StoreProbe {
  readonly #root: string;
  readonly #timeoutMs: number;
  readonly #run: RunBeside;
  #isLooking = false;

  constructor(root: string, { timeoutMs, run = runBeside }: StoreProbeOptions) {
    this.#root = root;
    this.#timeoutMs = timeoutMs;
    this.#run = run;
  }

  async look(): Promise<StoreSeen> {
    if (this.#isLooking) return this.#silent();
    this.#isLooking = true;
    const looking = this.#read().finally(() => {
      this.#isLooking = false;
    });
    const timeout = Promise.withResolvers<StoreSeen>();
    const timer = setTimeout(() => timeout.resolve(this.#silent()), this.#timeoutMs);
    try {
      return await Promise.race([looking, timeout.promise]);
    } finally {
      clearTimeout(timer);
    }
  }

  async #read(): Promise<StoreSeen> {
    try {
      const { exitCode, output } = await this.#run(["cat", "--", markerPath(this.#root)], { timeoutMs: this.#timeoutMs });
      if (exitCode === null) return this.#silent();
      if (exitCode !== 0) return { state: "lost", reason: output.trim().split("\n").at(-1) || "the marker cannot be read" };
      return { state: "ok", storeId: parseMarker(output, this.#root) };
    } catch (error) {
      return { state: "lost", reason: messageOf(error) };
    }
  }

  #silent(): StoreSeen {
    return { state: "lost", reason: `${this.#root} does not answer` };
  }
}

const PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** Resolves when the process has ended, which one that hangs in the kernel does not, killed or not. */
function runBeside([command = "", ...args]: string[], { timeoutMs }: { timeoutMs: number }): ReturnType<RunBeside> {
  return new Promise((resolve, reject) => {
    const env = { PATH, LC_ALL: "C" };
    const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"], env, timeout: timeoutMs, killSignal: "SIGKILL" });
    let output = "";
    const collect = (chunk: Buffer): void => {
      if (output.length < OUTPUT_CHARS_MAX) output += chunk.toString("utf8");
    };
    child.stdout.on("data", collect);
    child.stderr.on("data", collect);
    child.once("error", reject);
    child.once("close", (exitCode) => resolve({ exitCode, output }));
  });
}
