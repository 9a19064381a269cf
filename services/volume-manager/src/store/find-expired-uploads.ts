import { type Database, translate } from "@banyan/db";
import { asc, lte } from "drizzle-orm";
import { type UploadRow, uploads } from "./uploads-schema.ts";

/** Those whose time was over first. */
export async function findExpiredUploads(db: Database, at: Date, limit: number): Promise<UploadRow[]> {
  return translate(async () =>
    db.orm.select().from(uploads).where(lte(uploads.expiresAt, at)).orderBy(asc(uploads.expiresAt)).limit(limit),
  );
}
