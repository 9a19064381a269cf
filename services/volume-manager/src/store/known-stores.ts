import { type Database, translate } from "@banyan/db";
import { and, eq, ne } from "drizzle-orm";
import { volumes } from "./schema.ts";

/** The stores of directories that hold volumes, as far as the rows tell. */
export async function knownStores(db: Database): Promise<string[]> {
  const rows = await translate(async () =>
    db.orm
      .selectDistinct({ store: volumes.store })
      .from(volumes)
      .where(and(eq(volumes.backend, "directory"), ne(volumes.state, "deleted"))),
  );
  return rows.map(({ store }) => store);
}
