import { fault, isFault } from "@banyan/contracts";
import postgres from "postgres";

const RETRY_AFTER_MS = 1_000;
const CAUSES_MAX = 5;
const UNIQUE_VIOLATION = "23505";

/** The driver's and the system's words for: there is no connection. */
const CONNECTION_CODES = new Set([
  "CONNECTION_CLOSED",
  "CONNECTION_ENDED",
  "CONNECTION_DESTROYED",
  "CONNECT_TIMEOUT",
  "ECONNREFUSED",
  "ECONNRESET",
  "ENOENT",
  "ENOTFOUND",
  "EAI_AGAIN",
  "EHOSTUNREACH",
  "EPIPE",
  "ETIMEDOUT",
]);

/**
 * SQLSTATE classes and codes after which the same query may succeed: connection exceptions, too many connections, shutdown and start-up,
 * a cancelled statement, a serialization failure, a deadlock.
 */
const PASSING_STATES = /^(08...|53300|57P0[1-4]|57014|25P03|40001|40P01)$/;

/** Runs a query; the database's absence becomes `database.unavailable`, everything else stays what it is. */
export async function translate<T>(query: () => Promise<T>): Promise<T> {
  try {
    return await query();
  } catch (error) {
    throw translateError(error);
  }
}

export function translateError(error: unknown): unknown {
  if (isFault(error) || !isUnavailable(error)) return error;
  return fault("database.unavailable", { retryAfterMs: RETRY_AFTER_MS }, { cause: error });
}

function isUnavailable(error: unknown): boolean {
  return chainOf(error).some((link) => {
    if (link instanceof postgres.PostgresError) return PASSING_STATES.test(link.code);
    return "code" in link && typeof link.code === "string" && CONNECTION_CODES.has(link.code);
  });
}

/** Whether the row exists already. With a constraint's name: by that constraint. */
export function isUniqueViolation(error: unknown, constraint?: string): boolean {
  return chainOf(error).some(
    (link) =>
      link instanceof postgres.PostgresError &&
      link.code === UNIQUE_VIOLATION &&
      (constraint === undefined || link.constraint_name === constraint),
  );
}

/** An error and its causes: drizzle wraps what the driver threw. */
function chainOf(error: unknown): Error[] {
  const chain: Error[] = [];
  for (let link = error; link instanceof Error && chain.length < CAUSES_MAX; link = link.cause) chain.push(link);
  return chain;
}
