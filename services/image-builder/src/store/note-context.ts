import { type Database, translate } from "@banyan/db";
import { contexts } from "./schema.ts";

/** A build is about to copy from it. */
export async function noteContext(db: Database, orgId: string, digest: string, at: Date): Promise<void> {
  await translate(async () =>
    db.orm
      .insert(contexts)
      .values({ orgId, digest, usedAt: at })
      .onConflictDoUpdate({ target: [contexts.orgId, contexts.digest], set: { usedAt: at } }),
  );
}
