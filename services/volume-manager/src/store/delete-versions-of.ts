import { type Database, translate } from "@banyan/db";
import { and, eq, ne, sql } from "drizzle-orm";
import { versions } from "./schema.ts";

/** With their volume: its own event tells of them too. */
export async function deleteVersionsOf(db: Database, volumeId: string, at: Date): Promise<void> {
  await translate(async () =>
    db.orm
      .update(versions)
      .set({ state: "deleted", holder: null, leaseUntil: null, version: sql`${versions.version} + 1`, updatedAt: at })
      .where(and(eq(versions.volumeId, volumeId), ne(versions.state, "deleted"))),
  );
}
