import type { InputOf, ListSandboxes } from "@banyan/contracts";
import type { Database } from "@banyan/db";
import { and, desc, eq, inArray, lt, ne, sql } from "drizzle-orm";
import type { Sandbox } from "../domain/sandbox.ts";
import { fromRow } from "./rows.ts";
import { sandboxes } from "./schema.ts";

/** An organisation's own, newest first; those that are deleted only where that state is asked for. One more than a page tells whether there is another. */
export async function listSandboxes({ orm }: Database, page: InputOf<typeof ListSandboxes>): Promise<Sandbox[]> {
  const { orgId, labels, states, cursor, limit } = page;
  const rows = await orm
    .select()
    .from(sandboxes)
    .where(
      and(
        eq(sandboxes.orgId, orgId),
        states.length > 0 ? inArray(sandboxes.state, states) : ne(sandboxes.state, "deleted"),
        // The index holds only those that have labels.
        Object.keys(labels).length > 0
          ? sql`${sandboxes.labels} @> ${JSON.stringify(labels)}::jsonb and ${sandboxes.labels} <> '{}'::jsonb`
          : undefined,
        cursor === null ? undefined : lt(sandboxes.id, cursor),
      ),
    )
    .orderBy(desc(sandboxes.id))
    .limit(limit + 1);
  return rows.map(fromRow);
}
