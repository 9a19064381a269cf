import { type Database, translate } from "@banyan/db";
import { desc, inArray, sql } from "drizzle-orm";
import type { StepTimes } from "../domain/estimate.ts";
import { stepTimes } from "./schema.ts";

/** Enough to tell what is usual, few enough to read at once. */
const RECENT_MAX = 500;

export async function readStepTimes(db: Database, keys: readonly string[]): Promise<StepTimes> {
  if (keys.length === 0) return { byKey: new Map(), bySort: new Map() };
  const recent = db.orm.select().from(stepTimes).orderBy(desc(stepTimes.measuredAt)).limit(RECENT_MAX).as("recent");
  const [exact, usual] = await translate(async () =>
    Promise.all([
      db.orm
        .select({ key: stepTimes.key, durationMs: stepTimes.durationMs })
        .from(stepTimes)
        .where(inArray(stepTimes.key, [...keys])),
      db.orm
        .select({ sort: recent.sort, durationMs: sql<number>`percentile_cont(0.5) within group (order by ${recent.durationMs})` })
        .from(recent)
        .groupBy(recent.sort),
    ]),
  );
  return {
    byKey: new Map(exact.map(({ key, durationMs }) => [key, durationMs])),
    bySort: new Map(usual.map(({ sort, durationMs }) => [sort, durationMs])),
  };
}
