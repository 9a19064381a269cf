import { type Database, translate } from "@banyan/db";
import { sql } from "drizzle-orm";
import type { WorkTable } from "./claim-work.ts";

export interface Try {
  table: WorkTable;
  id: string;
  attempts: number;
  state: string;
}

/** False: the try is no longer this process's, or the row moved on (it is being deleted). */
export async function renewLease(
  db: Database,
  { table, id, attempts, state }: Try,
  { until, progress }: { until: Date; progress: number | null },
): Promise<boolean> {
  const rows = await translate(async () =>
    db.orm.execute(sql`
      update ${sql.identifier(table)} set lease_until = ${until.toISOString()}, progress = coalesce(${progress}, progress)
      where id = ${id} and attempts = ${attempts} and state = ${state} returning id`),
  );
  return rows.length > 0;
}

export interface Postponed {
  dueAt: Date;
  reason: string | null;
  /** It counts as one of the few tries that there are. */
  isFailure: boolean;
}

/** Lets go of it: it is taken up again when it is due. */
export async function postponeWork(
  db: Database,
  { table, id, attempts }: Omit<Try, "state">,
  { dueAt, reason, isFailure }: Postponed,
): Promise<void> {
  await translate(async () =>
    db.orm.execute(sql`
      update ${sql.identifier(table)} set lease_until = null, holder = null, failures = failures + ${isFailure ? 1 : 0}, due_at = ${dueAt.toISOString()}, state_reason = coalesce(${reason}, state_reason)
      where id = ${id} and attempts = ${attempts}`),
  );
}
