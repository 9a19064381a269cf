import { fault, LIMITS } from "@banyan/contracts";
import type { Database, Transaction } from "@banyan/db";
import { and, count, eq, ne, type SQL, sql } from "drizzle-orm";
import { type UploadRow, uploads } from "./uploads-schema.ts";

/** Throws volume.too_many where the volume, or the organisation, has as many unfinished ones as it may have. */
export async function insertUpload(db: Database, row: UploadRow): Promise<void> {
  await db.transaction(async (tx) => {
    // One at a time for an organisation, or those that begin at once would not see each other.
    await tx.execute(sql`select pg_advisory_xact_lock(hashtextextended(current_schema() || ' uploads of ' || ${row.orgId}, 0))`);
    await bound(tx, eq(uploads.volumeId, row.volumeId), { max: LIMITS.uploadsPerVolume, of: "unfinished uploads" });
    await bound(tx, eq(uploads.orgId, row.orgId), { max: LIMITS.uploadsPerOrg, of: "unfinished uploads to all volumes" });
    await tx.insert(uploads).values(row);
  });
}

async function bound(tx: Transaction, whose: SQL, { max, of }: { max: number; of: string }): Promise<void> {
  const [unfinished] = await tx
    .select({ n: count() })
    .from(uploads)
    .where(and(whose, ne(uploads.state, "complete")));
  if ((unfinished?.n ?? 0) >= max) throw fault("volume.too_many", { max, of }, { message: `There are ${max} ${of} already.` });
}
