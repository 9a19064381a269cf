import { type Build, type BuildStep, LIMITS } from "@banyan/contracts";
import type { Database } from "@banyan/db";
import type { Clock, Logger } from "@banyan/kernel";
import type { Said } from "../domain/plan.ts";
import { type Happened, writeEvents } from "../store/append-events.ts";
import { recordProgress } from "../store/record-progress.ts";

const WRITE_EVERY_MS = 100;
const EVENTS_PER_WRITE = 1_000;
const LINE_LENGTH_MAX = 16 * 1024;
const TAIL_LINES_MAX = 50;
const STEPS_MAX = LIMITS.stepsPerImage + 1;

export interface RecorderOptions {
  db: Database;
  clock: Clock;
  logger: Logger;
  build: { id: string; attempts: number; steps: Build["steps"]; logBytes: number };
  /** Takes secrets out of what is written. */
  mask(text: string): string;
  onWritten(): void;
}

/** Writes down what an execution says, in batches: nothing it says waits for the database, and a log that is too long is cut. */
export class Recorder {
  readonly #options: RecorderOptions;
  readonly #steps: Map<number, BuildStep>;
  #pending: Happened[] = [];
  #tail: string[] = [];
  #logBytes: number;
  #state: "building" | "exporting" = "building";
  #isChanged = false;
  #writing: Promise<void> | null = null;
  readonly #timer: NodeJS.Timeout;

  constructor(options: RecorderOptions) {
    this.#options = options;
    this.#steps = new Map(options.build.steps.map((step) => [step.index, { ...step, state: "waiting", durationMs: null, exitCode: null }]));
    this.#logBytes = options.build.logBytes;
    this.#timer = setInterval(() => this.#write(), WRITE_EVERY_MS);
  }

  /** In order of their index. */
  get steps(): BuildStep[] {
    return [...this.#steps.values()].toSorted((a, b) => a.index - b.index);
  }

  /** The last lines said, for a failure that brings none. */
  get tail(): string[] {
    return this.#tail;
  }

  say(said: Said): void {
    const at = this.#options.clock.now();
    switch (said.kind) {
      case "log":
        this.#log(at, { ...said, text: this.#options.mask(said.text).slice(0, LINE_LENGTH_MAX) });
        break;
      case "step":
        this.#step(at, { ...said.step, title: this.#options.mask(said.step.title) });
        break;
      case "exporting":
        this.#state = "exporting";
        this.#isChanged = true;
        this.#pending.push({ at, event: { kind: "state", state: "exporting" } });
    }
  }

  /** Steps that were on their way when the execution ended. */
  failRunning(): void {
    for (const step of this.#steps.values()) if (step.state === "running") this.say({ kind: "step", step: { ...step, state: "failed" } });
  }

  /** Everything said so far is written, or cannot be. */
  async end(): Promise<void> {
    clearInterval(this.#timer);
    await this.#writing;
    while (this.#pending.length > 0 || this.#isChanged) await this.#flush();
  }

  #log(at: number, line: Extract<Said, { kind: "log" }>): void {
    this.#tail = [...this.#tail.slice(1 - TAIL_LINES_MAX), line.text];
    if (this.#logBytes > LIMITS.buildLogBytes) return;
    this.#logBytes += Buffer.byteLength(line.text) + 1;
    const isCut = this.#logBytes > LIMITS.buildLogBytes;
    this.#pending.push({ at, event: isCut ? { ...line, text: `[cut here: the log is longer than ${LIMITS.buildLogBytes} bytes]` } : line });
  }

  #step(at: number, step: BuildStep): void {
    if (!this.#steps.has(step.index) && this.#steps.size >= STEPS_MAX) return;
    this.#steps.set(step.index, step);
    this.#isChanged = true;
    this.#pending.push({ at, event: { kind: "step", step } });
  }

  #write(): void {
    if (this.#writing !== null || (this.#pending.length === 0 && !this.#isChanged)) return;
    this.#writing = this.#flush()
      .catch((err) => this.#options.logger.warn({ err, build: this.#options.build.id }, "a build's events wait for the database"))
      .finally(() => {
        this.#writing = null;
      });
  }

  async #flush(): Promise<void> {
    const { db, build, onWritten } = this.#options;
    const batch = this.#pending.slice(0, EVENTS_PER_WRITE);
    if (this.#isChanged) {
      this.#isChanged = false;
      await recordProgress(db, build, { steps: this.steps, logBytes: this.#logBytes, state: this.#state });
    }
    // Events of an execution that is not the present one any more are dropped.
    await writeEvents(db, build, batch);
    this.#pending = this.#pending.slice(batch.length);
    onWritten();
  }
}
