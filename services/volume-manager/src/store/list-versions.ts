import { type Database, translate } from "@banyan/db";
import { and, desc, eq, lt, ne } from "drizzle-orm";
import { type VersionRow, versions } from "./schema.ts";

/** Newest first. One more than a page tells whether there is another. */
export function listVersions(
  db: Database,
  { volumeId, cursor, limit }: { volumeId: string; cursor: string | null; limit: number },
): Promise<VersionRow[]> {
  const after = cursor === null ? undefined : lt(versions.id, cursor);
  return translate(async () =>
    db.orm
      .select()
      .from(versions)
      .where(and(eq(versions.volumeId, volumeId), ne(versions.state, "deleted"), after))
      .orderBy(desc(versions.id))
      .limit(limit + 1),
  );
}
