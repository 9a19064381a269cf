import { type Database, translate } from "@banyan/db";
import { sql } from "drizzle-orm";
import { idempotencyKeys } from "./schema.ts";

/** Removes a bounded batch of what is older than `before`; answers how many. */
export function purgeIdempotencyKeys(db: Database, before: number, batchMax: number): Promise<number> {
  return translate(async () => {
    const old = sql`select organisation_id, key from ${idempotencyKeys} where created_at < ${new Date(before).toISOString()}::timestamptz limit ${batchMax}`;
    const removed = await db.orm.execute(sql`delete from ${idempotencyKeys} where (organisation_id, key) in (${old}) returning 1`);
    return removed.length;
  });
}
