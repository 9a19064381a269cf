import type { Said } from "../domain/plan.ts";
import { LastLines } from "./last-lines.ts";
import { LineSplitter } from "./line-splitter.ts";
import type { Progress } from "./progress.ts";

const STEP = /^Step (\d+)\/\d+ : (.*)$/;
const CACHED = /^ ---> Using cache$/;
const IMAGE = /^ ---> ([0-9a-f]{12})$/;
/** The engine's account of its own doing. */
const NOISE = /^( ---> |Removing intermediate container |Successfully (built|tagged) |\[Warning\] One or more build-args)/;
const STDERR_COLOUR = "\u001b[91m";
const COLOUR_END = "\u001b[0m";
const TITLE_LENGTH_MAX = 200;
const SILENT = /^\s*$/;

/** Turns the text of the engine's builder back into steps and what they say. */
export class DockerfileOutput {
  readonly #say: (said: Said) => void;
  readonly #nowMs: () => number;
  #lastLines = new LastLines();
  readonly #lines = { stdout: this.#splitter("stdout"), stderr: this.#splitter("stderr") };
  #step: { index: number; title: string; startedMs: number; isCached: boolean } | null = null;
  #image: string | null = null;

  constructor(say: (said: Said) => void, nowMs: () => number) {
    this.#say = say;
    this.#nowMs = nowMs;
  }

  /** The last image that was finished: what a corrected Dockerfile goes on from. */
  get image(): string | null {
    return this.#image;
  }

  /** Null: before the first step. */
  get step(): number | null {
    return this.#step?.index ?? null;
  }

  get lastLines(): string[] {
    return this.#lastLines.get();
  }

  take({ stream, status, id }: Progress): void {
    if (stream !== undefined) this.#write(stream);
    else if (status !== undefined && id === undefined) this.#write(`${status}\n`);
  }

  end(outcome: { exitCode: number | null } | "done"): void {
    this.#flush();
    if (outcome === "done") this.#endStep("done", 0);
    else this.#endStep("failed", outcome.exitCode);
  }

  /** What a command says on stderr comes in red. */
  #write(text: string): void {
    const isStderr = text.startsWith(STDERR_COLOUR);
    this.#lines[isStderr ? "stderr" : "stdout"].write(Buffer.from(text.replaceAll(STDERR_COLOUR, "").replaceAll(COLOUR_END, "")));
  }

  #flush(): void {
    this.#lines.stdout.end();
    this.#lines.stderr.end();
  }

  #splitter(stream: "stdout" | "stderr"): LineSplitter {
    return new LineSplitter((line) => this.#line(stream, line));
  }

  #line(stream: "stdout" | "stderr", line: string): void {
    const begun = STEP.exec(line);
    if (begun !== null && stream === "stdout") {
      this.#beginStep(Number(begun[1]) - 1, begun[2] ?? "");
      return;
    }
    if (CACHED.test(line) && this.#step !== null) this.#step.isCached = true;
    const image = IMAGE.exec(line)?.[1];
    if (image !== undefined) this.#image = image;
    if (NOISE.test(line) || SILENT.test(line)) return;
    this.#lastLines.add(stream, line);
    this.#say({ kind: "log", step: this.#step?.index ?? -1, stream, text: line });
  }

  #beginStep(index: number, title: string): void {
    this.#lines.stderr.end();
    this.#endStep("done", 0);
    this.#step = { index, title: title.slice(0, TITLE_LENGTH_MAX), startedMs: this.#nowMs(), isCached: false };
    this.#lastLines = new LastLines();
    this.#say({ kind: "step", step: { index, title: this.#step.title, state: "running", durationMs: null, exitCode: null } });
  }

  #endStep(state: "done" | "failed", exitCode: number | null): void {
    if (this.#step === null) return;
    const { index, title, startedMs, isCached } = this.#step;
    const durationMs = this.#nowMs() - startedMs;
    const ended = isCached && state === "done" ? ({ state: "cached", exitCode: null } as const) : { state, exitCode };
    this.#say({ kind: "step", step: { index, title, durationMs, ...ended } });
    if (state === "done") this.#step = null;
  }
}
