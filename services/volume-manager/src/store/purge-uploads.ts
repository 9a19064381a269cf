import { LIMITS } from "@banyan/contracts";
import { type Database, translate } from "@banyan/db";
import { sql } from "drizzle-orm";

/** Rows of uploads that were complete by then, and what ended processes have held. Answers how many uploads. */
export async function purgeUploads(db: Database, { before, now, limit }: { before: Date; now: Date; limit: number }): Promise<number> {
  // Its time is counted from its last part.
  const expiresBefore = new Date(before.getTime() + LIMITS.uploadKeptS * 1_000).toISOString();
  await translate(async () => db.orm.execute(sql`delete from upload_holds where lease_until < ${now.toISOString()}`));
  const rows = await translate(async () =>
    db.orm.execute(sql`
      delete from uploads where id in (
        select id from uploads where state = 'complete' and expires_at < ${expiresBefore} order by expires_at limit ${limit}) returning id`),
  );
  return rows.length;
}
