import type { Database } from "@banyan/db";
import { and, asc, gt, ne } from "drizzle-orm";
import type { Sandbox } from "../domain/sandbox.ts";
import { fromRow } from "./rows.ts";
import { sandboxes } from "./schema.ts";

export const LIVE_PAGE = 1_000;

/** A page of everything that is not deleted, by id. */
export async function listLive({ orm }: Database, after: string): Promise<Sandbox[]> {
  const rows = await orm
    .select()
    .from(sandboxes)
    .where(and(ne(sandboxes.state, "deleted"), gt(sandboxes.id, after)))
    .orderBy(asc(sandboxes.id))
    .limit(LIVE_PAGE);
  return rows.map(fromRow);
}
