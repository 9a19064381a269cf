import type { Database } from "@banyan/db";
import type { ForkRow } from "../domain/fork.ts";
import { FORK_COLUMNS, forkFromRow, type StoredFork } from "./fork-rows.ts";

/** Without `each`. */
export async function readFork({ sql }: Database, id: string): Promise<ForkRow | null> {
  const [row] = await sql<StoredFork[]>`select ${sql.unsafe(FORK_COLUMNS)} from forks where id = ${id}`;
  return row === undefined ? null : forkFromRow(row);
}

/** The whole of it. */
export async function readWholeFork({ sql }: Database, id: string): Promise<ForkRow | null> {
  const [row] = await sql<StoredFork[]>`select ${sql.unsafe(FORK_COLUMNS)}, each from forks where id = ${id}`;
  return row === undefined ? null : forkFromRow(row);
}
