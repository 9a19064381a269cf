import { type Database, translate } from "@banyan/db";
import { inArray } from "drizzle-orm";
import { apiKeys } from "./schema.ts";

/** `at` is good enough for all of a batch: batches are seconds apart. */
export function touchKeys(db: Database, ids: string[], at: number): Promise<void> {
  return translate(async () => {
    await db.orm
      .update(apiKeys)
      .set({ lastUsedAt: new Date(at) })
      .where(inArray(apiKeys.id, ids));
  });
}
