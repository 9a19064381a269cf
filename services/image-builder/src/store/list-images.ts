import { type Database, translate } from "@banyan/db";
import { desc, eq, isNull, or } from "drizzle-orm";
import { type ImageRow, images } from "./schema.ts";

const IMAGES_MAX = 1_000;

/** The organisation's own and the public ones, newest first. */
export function listImages(db: Database, orgId: string): Promise<ImageRow[]> {
  return translate(async () =>
    db.orm
      .select()
      .from(images)
      .where(or(isNull(images.orgId), eq(images.orgId, orgId)))
      .orderBy(desc(images.createdAt))
      .limit(IMAGES_MAX),
  );
}
