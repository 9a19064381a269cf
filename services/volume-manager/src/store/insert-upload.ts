import { fault, LIMITS } from "@banyan/contracts";
import type { Database } from "@banyan/db";
import { and, count, eq, ne, sql } from "drizzle-orm";
import { type UploadRow, uploads } from "./uploads-schema.ts";

/** Throws volume.too_many where the volume has as many unfinished ones as it may have. */
export async function insertUpload(db: Database, row: UploadRow): Promise<void> {
  await db.transaction(async (tx) => {
    // One at a time for a volume, or those that begin at once would not see each other.
    await tx.execute(sql`select pg_advisory_xact_lock(hashtextextended(${`uploads ${row.volumeId}`}, 0))`);
    const [unfinished] = await tx
      .select({ count: count() })
      .from(uploads)
      .where(and(eq(uploads.volumeId, row.volumeId), ne(uploads.state, "complete")));
    const max = LIMITS.uploadsPerVolume;
    if ((unfinished?.count ?? 0) >= max)
      throw fault("volume.too_many", { max }, { message: "The volume has too many unfinished uploads." });
    await tx.insert(uploads).values(row);
  });
}
