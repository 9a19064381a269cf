import type { Quota } from "@banyan/contracts";
import { type Database, translate } from "@banyan/db";
import { eq, sql } from "drizzle-orm";
import { type OrganisationRow, organisations } from "./schema.ts";

/** Merged inside the statement, so that two changes of different amounts at once both hold. */
export function updateQuota(db: Database, organisationId: string, changes: Partial<Quota>): Promise<OrganisationRow | null> {
  return translate(async () => {
    const rows = await db.orm
      .update(organisations)
      .set({ quota: sql`${organisations.quota} || ${JSON.stringify(changes)}::text::jsonb` })
      .where(eq(organisations.id, organisationId))
      .returning();
    return rows[0] ?? null;
  });
}
