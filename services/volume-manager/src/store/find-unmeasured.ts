import { type Database, translate } from "@banyan/db";
import { sql } from "drizzle-orm";
import { type VersionRow, type VolumeRow, versions, volumes } from "./schema.ts";

/** Takes the one whose use was to be measured first, so that others leave it alone until then. Null: none is due. */
export async function claimUnmeasured(db: Database, now: number, until: Date): Promise<VolumeRow | null> {
  const due = sql`select id from ${volumes} where state = 'ready' and measure_due_at <= ${new Date(now).toISOString()}
    order by measure_due_at limit 1 for update skip locked`;
  const [row] = await translate(async () =>
    db.orm.update(volumes).set({ measureDueAt: until }).where(sql`${volumes.id} in (${due})`).returning(),
  );
  return row ?? null;
}

/** Versions never change: each is measured once. */
export async function claimUnmeasuredVersion(db: Database, holder: string, now: number, until: Date): Promise<VersionRow | null> {
  const due = sql`select id from ${versions} where state = 'ready' and measured_at is null
    and (lease_until is null or lease_until < ${new Date(now).toISOString()}) order by created_at limit 1 for update skip locked`;
  const [row] = await translate(async () =>
    db.orm.update(versions).set({ holder, leaseUntil: until }).where(sql`${versions.id} in (${due})`).returning(),
  );
  return row ?? null;
}

/** It could not be measured. */
export async function unclaimVersion(db: Database, id: string, holder: string): Promise<void> {
  await translate(async () =>
    db.orm
      .update(versions)
      .set({ holder: null, leaseUntil: null })
      .where(sql`${versions.id} = ${id} and ${versions.holder} = ${holder} and ${versions.state} = 'ready'`),
  );
}
