import { type Database, translate } from "@banyan/db";
import { and, asc, desc, eq, isNull, or, sql } from "drizzle-orm";
import { type ImageRow, images } from "./schema.ts";

/** The image of this name or id as the organisation sees it: its own before the public one, a ready one before one in the making, the newest first. */
export async function findImage(db: Database, orgId: string, nameOrId: string): Promise<ImageRow | null> {
  const rows = await translate(async () =>
    db.orm
      .select()
      .from(images)
      .where(and(or(eq(images.name, nameOrId), eq(images.id, nameOrId)), or(isNull(images.orgId), eq(images.orgId, orgId))))
      .orderBy(sql`${images.orgId} nulls last`, desc(sql`${images.state} = 'ready'`), desc(images.createdAt), asc(images.id))
      .limit(1),
  );
  return rows[0] ?? null;
}
