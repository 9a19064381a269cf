export interface StepFailure {
  /** Null: before the first step. */
  step: number | null;
  /** Null where it was killed or never ran. */
  exitCode: number | null;
  oomKilled: boolean;
  /** It took longer than its own `timeout_s`. */
  timedOut?: boolean;
  /** The last of its output, or what the engine said. */
  lastLines: string[];
}

/** A step did what it should not: the build ends with it. What else goes wrong is thrown as an AppError, and the build is tried again. */
export class StepFailed extends Error implements StepFailure {
  override readonly name = "StepFailed";
  readonly step: number | null;
  readonly exitCode: number | null;
  readonly oomKilled: boolean;
  readonly timedOut: boolean;
  readonly lastLines: string[];

  constructor({ step, exitCode, oomKilled, timedOut = false, lastLines }: StepFailure, options: ErrorOptions = {}) {
    super(`step ${step} failed: ${exitCode === null ? "no exit code" : `exit code ${exitCode}`}`, options);
    this.step = step;
    this.exitCode = exitCode;
    this.oomKilled = oomKilled;
    this.timedOut = timedOut;
    this.lastLines = lastLines;
  }
}
