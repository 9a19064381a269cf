import { type Database, translate } from "@banyan/db";
import { asc } from "drizzle-orm";
import { type OrganisationRow, organisations } from "./schema.ts";

const ORGANISATIONS_LISTED_MAX = 1_000;

export function listOrganisations(db: Database): Promise<OrganisationRow[]> {
  return translate(async () => {
    return db.orm.select().from(organisations).orderBy(asc(organisations.id)).limit(ORGANISATIONS_LISTED_MAX);
  });
}
