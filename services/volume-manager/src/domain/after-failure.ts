import { isFault } from "@banyan/contracts";

/** Tries of one deed before it is given up. */
export const TRIES_MAX = 5;

/**
 * What becomes of a deed whose try failed: it is tried again, for ever where only the store, the database or the bus is away; given up at once where
 * trying again changes nothing.
 */
export function afterFailure(error: unknown, tries: number): "again" | "give up" {
  if (isFault(error, "volume.unreachable", "database.unavailable", "bus.unavailable", "bus.timeout")) return "again";
  if (isFault(error, "volume.no_space", "volume.in_use", "volume.not_found", "volume.version_not_found", "volume.unsupported"))
    return "give up";
  return tries < TRIES_MAX ? "again" : "give up";
}
