import { type ChildProcess, spawn } from "node:child_process";
import { markerPath, parseMarker } from "./store.ts";

export type StoreSeen = { state: "ok"; storeId: string } | { state: "lost"; reason: string };

const ANSWER_BYTES_MAX = 4_096;

/**
 * Looks whether a store is there, in a process beside: a network filesystem that hangs takes that one, and not a thread of ours. While an earlier
 * look hangs no other is begun.
 */
export class StoreProbe {
  readonly #root: string;
  readonly #timeoutMs: number;
  #hanging: ChildProcess | null = null;

  constructor(root: string, { timeoutMs }: { timeoutMs: number }) {
    this.#root = root;
    this.#timeoutMs = timeoutMs;
  }

  look(): Promise<StoreSeen> {
    if (this.#hanging !== null) return Promise.resolve({ state: "lost", reason: `${this.#root} does not answer` });
    return new Promise((resolve) => {
      const child = spawn("cat", ["--", markerPath(this.#root)], { stdio: ["ignore", "pipe", "pipe"], env: { PATH, LC_ALL: "C" } });
      this.#hanging = child;
      const said = { out: "", err: "" };
      child.stdout.on("data", (chunk: Buffer) => collect(said, "out", chunk));
      child.stderr.on("data", (chunk: Buffer) => collect(said, "err", chunk));
      const timer = setTimeout(() => {
        child.kill("SIGKILL");
        resolve({ state: "lost", reason: `${this.#root} does not answer within ${this.#timeoutMs} ms` });
      }, this.#timeoutMs);
      const ended = (seen: StoreSeen): void => {
        clearTimeout(timer);
        this.#hanging = null;
        resolve(seen);
      };
      child.once("error", ({ message }) => ended({ state: "lost", reason: message }));
      child.once("close", (code) => ended(code === 0 ? this.#read(said.out) : { state: "lost", reason: lastLine(said.err) }));
    });
  }

  #read(text: string): StoreSeen {
    try {
      return { state: "ok", storeId: parseMarker(text, this.#root) };
    } catch {
      return { state: "lost", reason: `the marker of ${this.#root} is spoiled` };
    }
  }
}

const PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const lastLine = (text: string): string => text.trim().split("\n").at(-1) || "the marker cannot be read";

function collect(said: { out: string; err: string }, stream: "out" | "err", chunk: Buffer): void {
  if (said[stream].length < ANSWER_BYTES_MAX) said[stream] += chunk.toString("utf8");
}
