import { type Database, translate } from "@banyan/db";
import { and, eq, sql } from "drizzle-orm";
import type { Measured } from "../backends/port.ts";
import { versions, volumes } from "./schema.ts";

/** A measurement that was asked for meanwhile keeps its time. */
export async function recordUsage(db: Database, id: string, measured: Measured, at: Date, dueAt: Date): Promise<void> {
  await translate(async () =>
    db.orm
      .update(volumes)
      .set({
        usageBytes: measured.bytes,
        usageFiles: measured.files,
        measuredAt: at,
        measureDueAt: sql`least(${volumes.measureDueAt}, ${dueAt.toISOString()}::timestamptz)`,
      })
      .where(eq(volumes.id, id)),
  );
}

/** Whoever deletes it meanwhile keeps his lease. */
export async function recordVersionUsage(db: Database, id: string, measured: Measured, at: Date): Promise<void> {
  await translate(async () =>
    db.orm
      .update(versions)
      .set({ usageBytes: measured.bytes, usageFiles: measured.files, measuredAt: at, holder: null, leaseUntil: null })
      .where(and(eq(versions.id, id), eq(versions.state, "ready"))),
  );
}

/** A measurement that failed is tried again then. */
export async function postponeMeasure(db: Database, id: string, dueAt: Date): Promise<void> {
  await translate(async () => db.orm.update(volumes).set({ measureDueAt: dueAt }).where(eq(volumes.id, id)));
}

/** What was written by way of the content API counts at once, until the next measurement tells exactly. */
export async function noteWritten(db: Database, id: string, bytes: number, measureAt: Date): Promise<void> {
  await translate(async () =>
    db.orm.execute(sql`
      update ${volumes} set usage_bytes = greatest(coalesce(usage_bytes, 0) + ${bytes}, 0), measure_due_at = least(measure_due_at, ${measureAt.toISOString()})
      where id = ${id}`),
  );
}
