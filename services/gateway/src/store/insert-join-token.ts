import { type Database, translate } from "@banyan/db";
import { type JoinTokenRow, joinTokens } from "./schema.ts";

/** An id that exists is that of a request that died before its token was shown to anyone: it gets the new one. */
export function insertJoinToken(db: Database, row: JoinTokenRow): Promise<void> {
  const { hash, expiresAt } = row;
  return translate(async () => {
    await db.orm.insert(joinTokens).values(row).onConflictDoUpdate({ target: joinTokens.id, set: { hash, expiresAt } });
  });
}
