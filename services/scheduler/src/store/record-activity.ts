import type { Database } from "@banyan/db";

export interface Activity {
  id: string;
  at: number;
}

/** The last sign of life of many sandboxes in one statement; never backwards. The version stays: it is no change of the sandbox. */
export async function recordActivity({ sql }: Database, activities: readonly Activity[]): Promise<void> {
  if (activities.length === 0) return;
  await sql`
    update sandboxes set last_active_at = greatest(last_active_at, seen.at)
    from jsonb_to_recordset(${JSON.stringify(activities)}::text::jsonb) as seen (id text, at bigint)
    where sandboxes.id = seen.id and sandboxes.last_active_at < seen.at`;
}
