import type { Database } from "@banyan/db";
import { eq, sql } from "drizzle-orm";
import { appendEvents } from "./append-events.ts";
import { type BuildRow, builds } from "./schema.ts";

export interface Claim {
  holder: string;
  now: number;
  leaseMs: number;
  /** Executions of one organisation at once. */
  perOrgMax: number;
}

/**
 * The queued build whose turn it is: of the organisation with the fewest running builds, among these of the one that was served longest ago,
 * and of one organisation the oldest. Builders claim one after the other, so that none counts what another is about to start. Null: none waits,
 * or those that wait have as many running as they may.
 */
export function claimBuild(db: Database, { holder, now, leaseMs, perOrgMax }: Claim): Promise<BuildRow | null> {
  return db.transaction(async (tx) => {
    await tx.execute(sql`select pg_advisory_xact_lock(hashtextextended(current_schema() || ' claim-build', 0))`);
    const turn = await tx.execute<{ id: string }>(sql`
      with served as (
        select org_id, count(*) filter (where state in ('building', 'exporting')) as running, max(started_at) as last
        from ${builds} where org_id in (select org_id from ${builds} where state = 'queued' and ended_at is null) group by org_id
      )
      select id from ${builds} join served using (org_id)
      where state = 'queued' and running < ${perOrgMax}
      order by running, last nulls first, created_at, id limit 1
      for update of ${builds}`);
    const id = turn[0]?.id;
    if (id === undefined) return null;
    const at = new Date(now);
    const [claimed] = await tx
      .update(builds)
      .set({
        state: "building",
        attempts: sql`${builds.attempts} + 1`,
        holder,
        leaseUntil: new Date(now + leaseMs),
        startedAt: sql`coalesce(${builds.startedAt}, ${at.toISOString()})`,
        deadlineAt: sql`coalesce(${builds.startedAt}, ${at.toISOString()}) + make_interval(secs => (${builds.spec} ->> 'timeout_s')::int)`,
      })
      .where(eq(builds.id, id))
      .returning();
    if (claimed === undefined) return null;
    await appendEvents(tx, claimed, [{ at: now, event: { kind: "state", state: "building" } }]);
    return claimed;
  });
}
