import { fault } from "@banyan/contracts";
import { AppError, messageOf } from "@banyan/kernel";
import { StepFailed } from "../domain/step-failed.ts";

export const NO_SPACE = /no space left on device|ENOSPC|disk quota exceeded/i;

export function statusOf(error: unknown): number | null {
  return error instanceof Error && "statusCode" in error && typeof error.statusCode === "number" ? error.statusCode : null;
}

/** What the engine said, without the client's frame around it. */
export function saidByEngine(error: unknown): string {
  if (error instanceof Error && "json" in error && typeof error.json === "object" && error.json !== null && "message" in error.json)
    return String(error.json.message);
  return messageOf(error);
}

/** The engine did not do what was asked of it. What already says what happened stays as it is. */
export function engineFault(step: string, cause: unknown): Error {
  if (cause instanceof AppError || cause instanceof StepFailed) return cause;
  const said = saidByEngine(cause);
  if (NO_SPACE.test(said)) return fault("build.disk_full", { step }, { cause });
  return fault("build.engine_unavailable", { step }, { cause, message: `the Docker Engine failed to ${step}: ${said}` });
}

/** Runs what talks to the engine, and translates how it fails. */
export async function asking<T>(step: string, operation: () => Promise<T>): Promise<T> {
  try {
    return await operation();
  } catch (error) {
    throw engineFault(step, error);
  }
}

/** Null: the engine has no such thing. */
export async function orNull<T>(operation: Promise<T>): Promise<T | null> {
  try {
    return await operation;
  } catch (error) {
    if (statusOf(error) === 404) return null;
    throw error;
  }
}
