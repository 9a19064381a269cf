import { type Database, translate } from "@banyan/db";
import { and, asc, eq, lt } from "drizzle-orm";
import { type BuildRow, builds } from "./schema.ts";

/** Those that wait since before this time, the oldest first. */
export function findQueued(
  db: Database,
  { before, limit }: { before: number; limit: number },
): Promise<Pick<BuildRow, "id" | "imageId" | "attempts">[]> {
  return translate(async () =>
    db.orm
      .select({ id: builds.id, imageId: builds.imageId, attempts: builds.attempts })
      .from(builds)
      .where(and(eq(builds.state, "queued"), lt(builds.createdAt, new Date(before))))
      .orderBy(asc(builds.createdAt))
      .limit(limit),
  );
}
