import type { Database } from "@banyan/db";
import { and, asc, eq, lte } from "drizzle-orm";
import { sandboxes } from "./schema.ts";

/** Deletes whose next try is due, the longest due first. */
export async function listDeleting({ orm }: Database, now: number, limit: number): Promise<{ id: string; nodeId: string | null }[]> {
  return orm
    .select({ id: sandboxes.id, nodeId: sandboxes.nodeId })
    .from(sandboxes)
    .where(and(eq(sandboxes.state, "deleting"), lte(sandboxes.deadlineAt, now)))
    .orderBy(asc(sandboxes.deadlineAt))
    .limit(limit);
}
