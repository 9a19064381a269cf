import type { Database } from "@banyan/db";

/** Removes a batch of those made before then; answers how many. The images stay. */
export async function purgeSnapshots({ sql }: Database, madeBefore: number, limit: number): Promise<number> {
  const purged = await sql`
    delete from snapshots where image_id in (select image_id from snapshots where at < ${madeBefore} order by at limit ${limit})`;
  return purged.count;
}
