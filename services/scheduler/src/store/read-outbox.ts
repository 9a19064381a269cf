import type { Database } from "@banyan/db";
import { asc } from "drizzle-orm";
import { outbox } from "./schema.ts";

export type Said = typeof outbox.$inferSelect;

export async function readOutbox({ orm }: Database, limit: number): Promise<Said[]> {
  return orm.select().from(outbox).orderBy(asc(outbox.seq)).limit(limit);
}
