import { fault } from "@banyan/contracts";
import { type Database, translate } from "@banyan/db";
import { and, eq } from "drizzle-orm";
import { type UploadRow, uploads } from "./uploads-schema.ts";

/** Fenced by where it stood. Throws upload.not_found where it is gone, or was moved by somebody else. */
export async function moveUpload(
  db: Database,
  before: UploadRow,
  to: Partial<Pick<UploadRow, "state" | "offset" | "expiresAt">>,
): Promise<UploadRow> {
  const [row] = await translate(async () =>
    db.orm
      .update(uploads)
      .set(to)
      .where(and(eq(uploads.id, before.id), eq(uploads.state, before.state), eq(uploads.offset, before.offset)))
      .returning(),
  );
  if (row === undefined) throw fault("upload.not_found", { uploadId: before.id, volumeId: before.volumeId });
  return row;
}
