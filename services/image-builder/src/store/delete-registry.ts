import { type Database, translate } from "@banyan/db";
import { and, eq } from "drizzle-orm";
import { registries } from "./schema.ts";

/** False: there was none. */
export async function deleteRegistry(db: Database, orgId: string, host: string): Promise<boolean> {
  const rows = await translate(async () =>
    db.orm
      .delete(registries)
      .where(and(eq(registries.orgId, orgId), eq(registries.host, host)))
      .returning({ host: registries.host }),
  );
  return rows.length > 0;
}
