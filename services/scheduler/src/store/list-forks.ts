import type { InputOf, ListForks } from "@banyan/contracts";
import type { Database } from "@banyan/db";
import type { ForkRow } from "../domain/fork.ts";
import { FORK_COLUMNS, forkFromRow, type StoredFork } from "./fork-rows.ts";

/** An organisation's own, newest first. One more than a page tells whether there is another. */
export async function listForks({ sql }: Database, { orgId, sandboxId, cursor, limit }: InputOf<typeof ListForks>): Promise<ForkRow[]> {
  const rows = await sql<StoredFork[]>`
    select ${sql.unsafe(FORK_COLUMNS)} from forks
    where org_id = ${orgId} and (${sandboxId}::text is null or parent_id = ${sandboxId}) and (${cursor}::text is null or id < ${cursor})
    order by id desc limit ${limit + 1}`;
  return rows.map(forkFromRow);
}

const UNFINISHED_MAX = 10_000;

/** What has to be taken up after a restart. */
export async function listUnfinishedForks({ sql }: Database): Promise<string[]> {
  const rows = await sql<{ id: string }[]>`select id from forks where ended_at is null order by id limit ${UNFINISHED_MAX}`;
  return rows.map(({ id }) => id);
}
