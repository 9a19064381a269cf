import { type Database, translate } from "@banyan/db";
import { and, desc, eq, lt, ne, sql } from "drizzle-orm";
import { type VolumeRow, volumes } from "./schema.ts";

/** Newest first. One more than a page tells whether there is another. */
export function listVolumes(
  db: Database,
  { orgId, labels, cursor, limit }: { orgId: string; labels: Record<string, string>; cursor: string | null; limit: number },
): Promise<VolumeRow[]> {
  const labelled = Object.keys(labels).length === 0 ? undefined : sql`${volumes.labels} @> ${JSON.stringify(labels)}::jsonb`;
  const after = cursor === null ? undefined : lt(volumes.id, cursor);
  return translate(async () =>
    db.orm
      .select()
      .from(volumes)
      .where(and(eq(volumes.orgId, orgId), ne(volumes.state, "deleted"), labelled, after))
      .orderBy(desc(volumes.id))
      .limit(limit + 1),
  );
}
