import { type Database, translate } from "@banyan/db";
import { layers as table } from "./schema.ts";

/** Notes layers that the blob store holds. Of those that are noted already nothing changes. */
export async function adoptLayers(db: Database, found: readonly { digest: string; putAt: Date }[]): Promise<void> {
  if (found.length === 0) return;
  const rows = found.map(({ digest, putAt }) => ({ digest, putAt, sizeBytes: 0 }));
  await translate(async () => db.orm.insert(table).values(rows).onConflictDoNothing());
}
