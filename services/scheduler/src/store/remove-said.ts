import type { Database } from "@banyan/db";

export async function removeSaid({ sql }: Database, seqs: number[]): Promise<void> {
  if (seqs.length > 0) await sql`delete from outbox where seq in ${sql(seqs)}`;
}
