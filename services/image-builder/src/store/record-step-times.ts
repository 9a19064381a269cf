import { type Database, translate } from "@banyan/db";
import { sql } from "drizzle-orm";
import { stepTimes } from "./schema.ts";

export async function recordStepTimes(db: Database, times: readonly (typeof stepTimes.$inferInsert)[]): Promise<void> {
  if (times.length === 0) return;
  const set = { durationMs: sql`excluded.duration_ms`, measuredAt: sql`excluded.measured_at` };
  await translate(async () =>
    db.orm
      .insert(stepTimes)
      .values([...times])
      .onConflictDoUpdate({ target: stepTimes.key, set }),
  );
}
