import type { Database } from "@banyan/db";

/** Removes a batch of rows that ended before then; answers how many. */
export async function purgeDeleted({ sql }: Database, endedBefore: number, limit: number): Promise<number> {
  const purged = await sql`
    delete from sandboxes where id in (
      select id from sandboxes where state = 'deleted' and updated_at < ${endedBefore} order by updated_at limit ${limit}
    )`;
  return purged.count;
}
