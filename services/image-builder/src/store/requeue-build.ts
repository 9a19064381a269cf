import type { Database } from "@banyan/db";
import { appendEvents } from "./append-events.ts";
import { presentExecution } from "./present-execution.ts";
import { builds } from "./schema.ts";

/** An execution came to no end: the build waits again. False: it is not the present one any more. */
export function requeueBuild(db: Database, build: { id: string; attempts: number }, now: number): Promise<boolean> {
  return db.transaction(async (tx) => {
    const rows = await tx
      .update(builds)
      .set({ state: "queued", holder: null, leaseUntil: null })
      .where(presentExecution(build))
      .returning({ id: builds.id });
    if (rows.length === 0) return false;
    return appendEvents(tx, build, [{ at: now, event: { kind: "state", state: "queued" } }]);
  });
}
