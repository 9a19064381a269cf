import { type Database, translate } from "@banyan/db";
import { and, asc, lt, type SQL, sql } from "drizzle-orm";
import { images, layers } from "./schema.ts";

/** Put before this time, and in no image's stack. */
export const isUnused = (putBefore: Date): SQL | undefined =>
  and(
    lt(layers.putAt, putBefore),
    sql`not exists (select 1 from ${images} where ${images.layers} @> jsonb_build_array(jsonb_build_object('digest', ${layers.digest})))`,
  );

export async function findUnusedLayers(db: Database, { putBefore, limit }: { putBefore: Date; limit: number }): Promise<string[]> {
  const rows = await translate(async () =>
    db.orm.select({ digest: layers.digest }).from(layers).where(isUnused(putBefore)).orderBy(asc(layers.putAt)).limit(limit),
  );
  return rows.map(({ digest }) => digest);
}
