import { type Database, translate } from "@banyan/db";
import { and, eq, isNull } from "drizzle-orm";
import { type ImageRow, images } from "./schema.ts";

export async function findPublicImage(db: Database, name: string, recipeKey: string): Promise<ImageRow | null> {
  const rows = await translate(async () =>
    db.orm
      .select()
      .from(images)
      .where(and(eq(images.name, name), eq(images.recipeKey, recipeKey), isNull(images.orgId))),
  );
  return rows[0] ?? null;
}
