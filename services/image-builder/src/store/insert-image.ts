import { type Database, translate } from "@banyan/db";
import { type ImageRow, images } from "./schema.ts";

/** Null: another builder was first. */
export async function insertImage(db: Database, row: ImageRow): Promise<ImageRow | null> {
  const rows = await translate(async () => db.orm.insert(images).values(row).onConflictDoNothing().returning());
  return rows[0] ?? null;
}
