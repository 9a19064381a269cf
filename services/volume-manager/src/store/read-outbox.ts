import { type Database, translate } from "@banyan/db";
import { asc, inArray } from "drizzle-orm";
import { outbox } from "./schema.ts";

export type Said = typeof outbox.$inferSelect;

export function readOutbox(db: Database, limit: number): Promise<Said[]> {
  return translate(async () => db.orm.select().from(outbox).orderBy(asc(outbox.seq)).limit(limit));
}

export async function removeSaid(db: Database, seqs: number[]): Promise<void> {
  if (seqs.length > 0) await translate(async () => db.orm.delete(outbox).where(inArray(outbox.seq, seqs)));
}
