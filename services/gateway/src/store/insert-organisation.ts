import { type Database, translate } from "@banyan/db";
import { sql } from "drizzle-orm";
import { type OrganisationRow, organisations } from "./schema.ts";

/** Null where the name is another one's. The same id again is the repeat of a request that died after making it. */
export function insertOrganisation(db: Database, row: OrganisationRow): Promise<OrganisationRow | null> {
  return translate(async () => {
    const rows = await db.orm
      .insert(organisations)
      .values(row)
      .onConflictDoUpdate({
        target: organisations.name,
        set: { name: row.name },
        setWhere: sql`${organisations.id} = excluded.id`,
      })
      .returning();
    return rows[0] ?? null;
  });
}
