import { type Database, translate } from "@banyan/db";
import { and, eq } from "drizzle-orm";
import { imageNames } from "./schema.ts";

/** False: the organisation has no such name. */
export async function removeName(db: Database, orgId: string, name: string): Promise<boolean> {
  const rows = await translate(async () =>
    db.orm
      .delete(imageNames)
      .where(and(eq(imageNames.orgId, orgId), eq(imageNames.name, name)))
      .returning({ name: imageNames.name }),
  );
  return rows.length > 0;
}
