import type { BuildEvent } from "@banyan/contracts";
import { type Database, translate } from "@banyan/db";
import { and, asc, eq, gt } from "drizzle-orm";
import { buildEvents } from "./schema.ts";

export function readEvents(db: Database, buildId: string, after: number, limit: number): Promise<BuildEvent[]> {
  return translate(async () =>
    db.orm
      .select({ seq: buildEvents.seq, at: buildEvents.at, event: buildEvents.event })
      .from(buildEvents)
      .where(and(eq(buildEvents.buildId, buildId), gt(buildEvents.seq, after)))
      .orderBy(asc(buildEvents.seq))
      .limit(limit),
  );
}
