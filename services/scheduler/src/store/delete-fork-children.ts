import type { Database } from "@banyan/db";

/**
 * What is left of the children of a fork that has ended is to be deleted, in one statement however many they are: the loop that finishes deletes
 * goes on with them.
 */
export async function deleteForkChildren({ sql }: Database, forkId: string, now: number): Promise<void> {
  await sql`
    update sandboxes set state = 'deleting', version = version + 1, updated_at = ${now}, deadline_at = ${now}
    where origin is not null and origin->>'forkId' = ${forkId} and state not in ('deleting', 'deleted')`;
}
