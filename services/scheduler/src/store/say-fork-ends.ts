import type { Database } from "@banyan/db";
import type { ForkRow } from "../domain/fork.ts";
import { FORK_COLUMNS, forkFromRow, type StoredFork } from "./fork-rows.ts";

/** Forks that have ended and whose end is not in the stream yet. */
export async function listUnsaidEnds({ sql }: Database, limit: number): Promise<ForkRow[]> {
  const rows = await sql<StoredFork[]>`
    select ${sql.unsafe(FORK_COLUMNS)} from forks where ended_at is not null and not end_said order by ended_at limit ${limit}`;
  return rows.map(forkFromRow);
}

export async function markEndSaid({ sql }: Database, ids: readonly string[]): Promise<void> {
  if (ids.length === 0) return;
  await sql`update forks set end_said = true where ${JSON.stringify(ids)}::text::jsonb ? id`;
}
