import { type Database, translate } from "@banyan/db";
import { eq } from "drizzle-orm";
import { type ApiKeyRow, apiKeys } from "./schema.ts";

export function findKey(db: Database, id: string): Promise<ApiKeyRow | null> {
  return translate(async () => {
    const rows = await db.orm.select().from(apiKeys).where(eq(apiKeys.id, id));
    return rows[0] ?? null;
  });
}
