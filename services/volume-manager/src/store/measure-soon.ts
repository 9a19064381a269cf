import { type Database, translate } from "@banyan/db";
import { and, eq, gt } from "drizzle-orm";
import { volumes } from "./schema.ts";

/** What is known of its usage is too old to refuse by. */
export async function measureSoon(db: Database, volumeId: string, at: Date): Promise<void> {
  await translate(async () =>
    db.orm
      .update(volumes)
      .set({ measureDueAt: at })
      .where(and(eq(volumes.id, volumeId), gt(volumes.measureDueAt, at))),
  );
}
