import { type Database, translate } from "@banyan/db";
import { asc, eq } from "drizzle-orm";
import { type ApiKeyRow, apiKeys } from "./schema.ts";

const KEYS_LISTED_MAX = 1_000;

export function listKeys(db: Database, organisationId: string): Promise<ApiKeyRow[]> {
  return translate(async () => {
    return db.orm.select().from(apiKeys).where(eq(apiKeys.organisationId, organisationId)).orderBy(asc(apiKeys.id)).limit(KEYS_LISTED_MAX);
  });
}
