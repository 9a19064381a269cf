import { type Database, translate } from "@banyan/db";
import { and, asc, eq, isNull, lte } from "drizzle-orm";
import { type VersionRow, type VolumeRow, versions, volumes } from "./schema.ts";

/** Those whose use is to be measured by now, the longest due first. */
export function findUnmeasured(db: Database, now: number, limit: number): Promise<VolumeRow[]> {
  return translate(async () =>
    db.orm
      .select()
      .from(volumes)
      .where(and(eq(volumes.state, "ready"), lte(volumes.measureDueAt, new Date(now))))
      .orderBy(asc(volumes.measureDueAt))
      .limit(limit),
  );
}

/** Versions never change: each is measured once. */
export function findUnmeasuredVersions(db: Database, limit: number): Promise<VersionRow[]> {
  return translate(async () =>
    db.orm
      .select()
      .from(versions)
      .where(and(eq(versions.state, "ready"), isNull(versions.measuredAt)))
      .orderBy(asc(versions.createdAt))
      .limit(limit),
  );
}
