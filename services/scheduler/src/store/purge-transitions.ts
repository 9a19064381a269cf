import type { Database } from "@banyan/db";

/** Removes a batch of audit rows from before then; answers how many. */
export async function purgeTransitions({ sql }: Database, before: number, limit: number): Promise<number> {
  const purged = await sql`
    delete from transitions where (sandbox_id, version) in (
      select sandbox_id, version from transitions where at < ${before} order by at limit ${limit}
    )`;
  return purged.count;
}
