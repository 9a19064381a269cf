import type { Database } from "@banyan/db";
import { inArray } from "drizzle-orm";
import { outbox } from "./schema.ts";

export async function removeSaid({ orm }: Database, seqs: number[]): Promise<void> {
  if (seqs.length > 0) await orm.delete(outbox).where(inArray(outbox.seq, seqs));
}
