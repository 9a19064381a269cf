import { type Database, translate } from "@banyan/db";
import { contexts } from "./schema.ts";

/** Further back than any age that is asked for. */
const NEVER = new Date(0);

/** Notes uploads that the blob store holds and no build has used. Of those that are noted already nothing changes. */
export async function adoptContexts(db: Database, found: readonly { orgId: string; digest: string }[]): Promise<void> {
  if (found.length === 0) return;
  const rows = found.map(({ orgId, digest }) => ({ orgId, digest, usedAt: NEVER }));
  await translate(async () => db.orm.insert(contexts).values(rows).onConflictDoNothing());
}
