import { type Database, translate } from "@banyan/db";
import { type ApiKeyRow, apiKeys } from "./schema.ts";

/** An id that exists is that of a request that died before its secret was shown to anyone: it gets the new secret. */
export function insertKey(db: Database, row: Omit<ApiKeyRow, "lastUsedAt" | "revokedAt">): Promise<ApiKeyRow> {
  return translate(async () => {
    const { hash, hint } = row;
    const rows = await db.orm.insert(apiKeys).values(row).onConflictDoUpdate({ target: apiKeys.id, set: { hash, hint } }).returning();
    const inserted = rows[0];
    if (!inserted) throw new Error("an insert that returns its row returned none");
    return inserted;
  });
}
