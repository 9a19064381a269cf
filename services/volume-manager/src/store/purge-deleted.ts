import { type Database, translate } from "@banyan/db";
import { sql } from "drizzle-orm";

/** Rows of volumes and versions that were deleted so long ago. Answers how many. */
export async function purgeDeleted(db: Database, before: Date, limit: number): Promise<number> {
  let purged = 0;
  for (const table of ["versions", "volumes"]) {
    const name = sql.identifier(table);
    const rows = await translate(async () =>
      db.orm.execute(sql`
        delete from ${name} where id in (select id from ${name} where state = 'deleted' and updated_at < ${before.toISOString()} limit ${limit}) returning id`),
    );
    purged += rows.length;
  }
  return purged;
}
