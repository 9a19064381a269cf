import { type Database, translate } from "@banyan/db";
import { sql } from "drizzle-orm";
import { builds, images } from "./schema.ts";

const NAMED_MAX = 100;

/** The images that were built on this one, and the build of its own that is not over. */
export async function listUsers(db: Database, imageId: string): Promise<string[]> {
  const rows = await translate(async () =>
    db.orm.execute<{ id: string }>(sql`
      select id from ${images} where base ->> 'pinnedTo' = ${imageId}
      union all select id from ${builds} where image_id = ${imageId} and ended_at is null
      limit ${NAMED_MAX}`),
  );
  return rows.map(({ id }) => id);
}
