import { type Database, translate } from "@banyan/db";
import { and, eq, isNull } from "drizzle-orm";
import { apiKeys } from "./schema.ts";

/** A second revocation keeps the time of the first. */
export function revokeKey(db: Database, id: string, now: number): Promise<void> {
  return translate(async () => {
    await db.orm
      .update(apiKeys)
      .set({ revokedAt: new Date(now) })
      .where(and(eq(apiKeys.id, id), isNull(apiKeys.revokedAt)));
  });
}
