import { type Database, translate } from "@banyan/db";
import { eq, or } from "drizzle-orm";
import { type OrganisationRow, organisations } from "./schema.ts";

/** By id or by name: names hold no underscore and ids always do, so the two never meet. */
export function findOrganisation(db: Database, idOrName: string): Promise<OrganisationRow | null> {
  return translate(async () => {
    const rows = await db.orm
      .select()
      .from(organisations)
      .where(or(eq(organisations.id, idOrName), eq(organisations.name, idOrName)));
    return rows[0] ?? null;
  });
}
