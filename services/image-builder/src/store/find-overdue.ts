import { type Database, translate } from "@banyan/db";
import { and, asc, eq, isNull, lt, ne, or } from "drizzle-orm";
import { type BuildRow, builds } from "./schema.ts";

/** So long after its deadline a build that runs is ended by others: its own builder is the first to. */
const GRACE_MS = 30_000;

/** Those that nobody holds any more, and those whose time is over. */
export function findOverdue(db: Database, { now, limit }: { now: number; limit: number }): Promise<BuildRow[]> {
  const lost = and(ne(builds.state, "queued"), lt(builds.leaseUntil, new Date(now)));
  const expired = and(eq(builds.state, "queued"), lt(builds.deadlineAt, new Date(now)));
  const late = lt(builds.deadlineAt, new Date(now - GRACE_MS));
  return translate(async () =>
    db.orm
      .select()
      .from(builds)
      .where(and(isNull(builds.endedAt), or(lost, expired, late)))
      .orderBy(asc(builds.createdAt))
      .limit(limit),
  );
}
