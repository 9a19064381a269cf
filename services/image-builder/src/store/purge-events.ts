import { type Database, translate } from "@banyan/db";
import { sql } from "drizzle-orm";
import { buildEvents, builds } from "./schema.ts";

/** Forgets what was said in builds that ended long ago; the builds stay. Answers of how many. */
export async function purgeEvents(db: Database, { endedBefore, limit }: { endedBefore: Date; limit: number }): Promise<number> {
  const rows = await translate(async () =>
    db.orm.execute<{ id: string }>(sql`
      with old as (
        select id from ${builds} where ended_at < ${endedBefore.toISOString()}
          and exists (select 1 from ${buildEvents} where build_id = ${builds}.id) limit ${limit}
      ), gone as (delete from ${buildEvents} where build_id in (select id from old))
      select id from old`),
  );
  return rows.length;
}
