import { type Database, translate } from "@banyan/db";
import { and, eq } from "drizzle-orm";
import { type RegistryRow, registries } from "./schema.ts";

export async function findRegistry(db: Database, orgId: string, host: string): Promise<RegistryRow | null> {
  const rows = await translate(async () =>
    db.orm
      .select()
      .from(registries)
      .where(and(eq(registries.orgId, orgId), eq(registries.host, host))),
  );
  return rows[0] ?? null;
}
