import { type Database, translate } from "@banyan/db";
import { and, eq, isNull } from "drizzle-orm";
import { builds } from "./schema.ts";

/** Says that the execution goes on, and hears whether it should. Null: it is not the present one any more. */
export async function renewLease(
  db: Database,
  build: { id: string; attempts: number },
  until: Date,
): Promise<{ cancelWanted: boolean } | null> {
  const rows = await translate(async () =>
    db.orm
      .update(builds)
      .set({ leaseUntil: until })
      .where(and(eq(builds.id, build.id), eq(builds.attempts, build.attempts), isNull(builds.endedAt)))
      .returning({ cancelWanted: builds.cancelWanted }),
  );
  return rows[0] ?? null;
}
