import { type Database, translate } from "@banyan/db";
import { presentExecution } from "./present-execution.ts";
import { builds } from "./schema.ts";

/** Says that the execution goes on, and hears whether it should. Null: it is not the present one any more. */
export async function renewLease(
  db: Database,
  build: { id: string; attempts: number },
  until: Date,
): Promise<{ cancelWanted: boolean } | null> {
  const rows = await translate(async () =>
    db.orm.update(builds).set({ leaseUntil: until }).where(presentExecution(build)).returning({ cancelWanted: builds.cancelWanted }),
  );
  return rows[0] ?? null;
}
