import { AppError, type ErrorKind } from "@banyan/kernel";

/** Tries of one deed before it is given up. */
export const TRIES_MAX = 5;

/** The store, the database or the bus is away: it is tried until they are back. */
const PASSING: ReadonlySet<ErrorKind> = new Set(["unavailable", "timeout"]);

/** What becomes of a deed whose try failed. What the store refuses is given up at once: trying again changes nothing. `isOverdue`: it was to be done by now. */
export function afterFailure(error: unknown, tries: number, isOverdue = false): "again" | "give up" {
  const kind = error instanceof AppError ? error.kind : "internal";
  if (isOverdue) return "give up";
  if (PASSING.has(kind)) return "again";
  return kind === "internal" && tries < TRIES_MAX ? "again" : "give up";
}
