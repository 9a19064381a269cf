import { type Database, translate } from "@banyan/db";
import { and, desc, eq, lt } from "drizzle-orm";
import { type BuildRow, builds } from "./schema.ts";

/** Newest first. One more than a page tells whether there is another. */
export function listBuilds(
  db: Database,
  page: { orgId: string; imageId: string | null; cursor: string | null; limit: number },
): Promise<BuildRow[]> {
  const { orgId, imageId, cursor, limit } = page;
  return translate(async () =>
    db.orm
      .select()
      .from(builds)
      .where(
        and(
          eq(builds.orgId, orgId),
          imageId === null ? undefined : eq(builds.imageId, imageId),
          cursor === null ? undefined : lt(builds.id, cursor),
        ),
      )
      .orderBy(desc(builds.id))
      .limit(limit + 1),
  );
}
