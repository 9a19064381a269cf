import { type Database, type Transaction, translate } from "@banyan/db";
import { and, desc, eq } from "drizzle-orm";
import { type BuildRow, builds } from "./schema.ts";

export async function findBuild(db: Database, orgId: string, id: string): Promise<BuildRow | null> {
  const rows = await translate(async () =>
    db.orm
      .select()
      .from(builds)
      .where(and(eq(builds.id, id), eq(builds.orgId, orgId))),
  );
  return rows[0] ?? null;
}

/** The newest of an image: the one under way where there is one. */
export async function findLastBuild(on: Pick<Transaction, "select">, imageId: string): Promise<BuildRow | null> {
  const rows = await on.select().from(builds).where(eq(builds.imageId, imageId)).orderBy(desc(builds.id)).limit(1);
  return rows[0] ?? null;
}
