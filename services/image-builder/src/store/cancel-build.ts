import type { Database } from "@banyan/db";
import { and, eq } from "drizzle-orm";
import { endBuild } from "./finish-build.ts";
import { type BuildRow, builds } from "./schema.ts";

/** Ends a build that waits; of one that runs it is noted, and its builder sees it within a second. Null: there is none. */
export function cancelBuild(db: Database, orgId: string, id: string, now: number): Promise<BuildRow | null> {
  return db.transaction(async (tx) => {
    const where = and(eq(builds.id, id), eq(builds.orgId, orgId));
    const [row] = await tx.select().from(builds).where(where).for("update");
    if (row === undefined) return null;
    if (row.endedAt !== null) return row;
    if (row.state === "queued") await endBuild(tx, row, { kind: "cancel" }, { now, steps: row.steps });
    else await tx.update(builds).set({ cancelWanted: true }).where(where);
    const [after] = await tx.select().from(builds).where(where);
    return after ?? null;
  });
}
