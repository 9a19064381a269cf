import { type Database, translate } from "@banyan/db";
import { eq } from "drizzle-orm";
import { type ImageRow, images } from "./schema.ts";

export async function findImageById(db: Database, id: string): Promise<ImageRow | null> {
  const rows = await translate(async () => db.orm.select().from(images).where(eq(images.id, id)));
  return rows[0] ?? null;
}
