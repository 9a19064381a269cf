import type { Database } from "@banyan/db";
import { and, eq, inArray, ne, or } from "drizzle-orm";
import type { Wanted } from "../domain/reconcile.ts";
import { sandboxes } from "./schema.ts";

/** The rows that name this node, and the rows of what it lists, whatever they name. */
export async function listWanted({ orm }: Database, nodeId: string, listedIds: string[]): Promise<Wanted[]> {
  const { id, state, epoch, hasDisk, deadlineAt, updatedAt } = sandboxes;
  const own = and(eq(sandboxes.nodeId, nodeId), ne(state, "deleted"));
  return orm
    .select({ id, nodeId: sandboxes.nodeId, state, epoch, hasDisk, deadlineAt, updatedAt })
    .from(sandboxes)
    .where(listedIds.length > 0 ? or(own, inArray(id, listedIds)) : own);
}
