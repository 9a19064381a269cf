import type { Database } from "@banyan/db";
import { and, eq, inArray } from "drizzle-orm";
import { sandboxes } from "./schema.ts";

/** The next try of these deletes. Not a change that anyone waits for: the version stays. */
export async function deferDeadlines({ orm }: Database, ids: string[], until: number): Promise<void> {
  if (ids.length === 0) return;
  await orm
    .update(sandboxes)
    .set({ deadlineAt: until })
    .where(and(inArray(sandboxes.id, ids), eq(sandboxes.state, "deleting")));
}
