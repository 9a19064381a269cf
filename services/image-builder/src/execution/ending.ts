import type { BuildFailure } from "@banyan/contracts";
import { AppError, KINDS } from "@banyan/kernel";
import { explain, failureOf, failureOfFault } from "../domain/failure.ts";
import { StepFailed } from "../domain/step-failed.ts";

/** Executions of one build at most: the first, and three more where a builder was lost or the engine was away. */
export const EXECUTIONS_MAX = 4;

export type Outcome = { kind: "fail"; failure: BuildFailure } | { kind: "cancel" } | { kind: "again" };

export interface Broken {
  error: unknown;
  attempts: number;
  /** The last lines said. */
  tail: readonly string[];
  networkOf(step: number | null): "open" | "closed";
}

/** What becomes of a build whose execution threw. */
export function outcomeOf({ error, attempts, tail, networkOf }: Broken): Outcome {
  if (error instanceof StepFailed) return { kind: "fail", failure: explain(error, { network: networkOf(error.step) }) };
  if (!(error instanceof AppError)) return { kind: "fail", failure: failureOf("internal", { lastLines: tail }) };
  if (error.code === "build.cancelled") return { kind: "cancel" };
  if (error.code === "build.timeout") return { kind: "fail", failure: failureOf("build.timeout", { lastLines: tail }) };
  if (error.kind !== "unavailable" && error.kind !== "timeout") return { kind: "fail", failure: failureOfFault(error) };
  if (attempts < EXECUTIONS_MAX && KINDS[error.kind].retryable) return { kind: "again" };
  return { kind: "fail", failure: { ...failureOfFault(error), lastLines: [...tail] } };
}
