import { fault } from "@banyan/contracts";
import { type Database, translate } from "@banyan/db";
import { and, eq } from "drizzle-orm";
import { type UploadRow, uploads } from "./uploads-schema.ts";

/** Throws upload.not_found: also of one whose time is over, and of another organisation's. */
export async function findUpload(db: Database, ref: { orgId: string; volumeId: string; id: string }, at: Date): Promise<UploadRow> {
  const { orgId, volumeId, id } = ref;
  const wanted = and(eq(uploads.id, id), eq(uploads.volumeId, volumeId), eq(uploads.orgId, orgId));
  const [row] = await translate(async () => db.orm.select().from(uploads).where(wanted));
  if (row === undefined || row.expiresAt <= at) throw fault("upload.not_found", { uploadId: id, volumeId });
  return row;
}
