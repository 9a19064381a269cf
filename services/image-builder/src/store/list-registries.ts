import { type Database, translate } from "@banyan/db";
import { asc, eq } from "drizzle-orm";
import { type RegistryRow, registries } from "./schema.ts";

const REGISTRIES_MAX = 1_000;

export function listRegistries(db: Database, orgId: string): Promise<RegistryRow[]> {
  return translate(async () =>
    db.orm.select().from(registries).where(eq(registries.orgId, orgId)).orderBy(asc(registries.host)).limit(REGISTRIES_MAX),
  );
}
