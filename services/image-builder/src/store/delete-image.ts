import { type Database, translate } from "@banyan/db";
import { and, eq, ne } from "drizzle-orm";
import { type ImageRow, images } from "./schema.ts";

/** With its names, builds and their events. False: it was moved or is being built. */
export async function deleteImage(db: Database, image: ImageRow): Promise<boolean> {
  const rows = await translate(async () =>
    db.orm
      .delete(images)
      .where(and(eq(images.id, image.id), eq(images.version, image.version), ne(images.state, "building")))
      .returning({ id: images.id }),
  );
  return rows.length > 0;
}
