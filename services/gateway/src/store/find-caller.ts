import { type Database, translate } from "@banyan/db";
import { and, eq, isNull } from "drizzle-orm";
import type { Caller } from "../ports.ts";
import { apiKeys, organisations } from "./schema.ts";

/** Who holds the key of this hash; null where it is unknown or revoked. */
export function findCaller(db: Database, hash: string): Promise<Caller | null> {
  return translate(async () => {
    const rows = await db.orm
      .select({ keyId: apiKeys.id, orgId: organisations.id, orgName: organisations.name, role: apiKeys.role, quota: organisations.quota })
      .from(apiKeys)
      .innerJoin(organisations, eq(organisations.id, apiKeys.organisationId))
      .where(and(eq(apiKeys.hash, hash), isNull(apiKeys.revokedAt)));
    return rows[0] ?? null;
  });
}
