import { Worker } from "node:worker_threads";
import { fault } from "@banyan/contracts";

export interface Hunk {
  oldStart: number;
  oldLines: number;
  newStart: number;
  newLines: number;
  /** Each begins with a space, `+`, `-` or a backslash; without the newline at its end. */
  lines: string[];
}

export interface TextDiffRequest {
  id: number;
  before: string;
  now: string;
}
export interface TextDiffAnswer {
  id: number;
  /** Null: it would have taken too long. */
  hunks: Hunk[] | null;
}

interface Waiting {
  resolve(hunks: Hunk[] | null): void;
  reject(error: unknown): void;
}

/** Texts are compared in a thread of their own: what is served here does not wait for it. Started by the first request, and alone no reason to live on. */
class TextDiffs {
  #worker: Worker | null = null;
  readonly #waiting = new Map<number, Waiting>();
  #nextId = 1;

  ask(before: string, now: string): Promise<Hunk[] | null> {
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#worker ??= this.#start();
      this.#worker.ref();
      this.#worker.postMessage({ id, before, now } satisfies TextDiffRequest);
    });
  }

  #start(): Worker {
    const worker = new Worker(new URL("./text-diff-worker.ts", import.meta.url));
    worker.on("message", ({ id, hunks }: TextDiffAnswer) => {
      this.#waiting.get(id)?.resolve(hunks);
      this.#waiting.delete(id);
      if (this.#waiting.size === 0) worker.unref();
    });
    worker.on("error", (cause) => this.#lose(fault("diff.failed", {}, { cause })));
    worker.on("exit", () => this.#lose(fault("diff.failed")));
    return worker;
  }

  #lose(error: unknown): void {
    this.#worker = null;
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
  }
}

const textDiffs = new TextDiffs();

/** How a text came to be another one. What would take too long is told as all of one replaced by all of the other. */
export async function hunksOf(before: string, now: string): Promise<Hunk[]> {
  if (before === now) return [];
  const found = before === "" || now === "" ? null : await textDiffs.ask(before, now);
  return found ?? [replacement(before, now)];
}

function replacement(before: string, now: string): Hunk {
  const [removed, added] = [linesOf(before), linesOf(now)];
  return {
    oldStart: removed.length === 0 ? 0 : 1,
    oldLines: removed.length,
    newStart: added.length === 0 ? 0 : 1,
    newLines: added.length,
    lines: [...signed("-", removed, before), ...signed("+", added, now)],
  };
}

function linesOf(text: string): string[] {
  const lines = text.split("\n");
  if (lines.at(-1) === "") lines.pop();
  return lines;
}

function signed(sign: string, lines: readonly string[], text: string): string[] {
  const all = lines.map((line) => sign + line);
  return text === "" || text.endsWith("\n") ? all : [...all, NO_NEWLINE];
}

const NO_NEWLINE = "\\ No newline at end of file";
