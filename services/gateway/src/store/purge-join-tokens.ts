import { type Database, translate } from "@banyan/db";
import { lt } from "drizzle-orm";
import { joinTokens } from "./schema.ts";

/** Those that nobody can use any more. Few are made, so no batches. */
export function purgeJoinTokens(db: Database, expiredBefore: number): Promise<void> {
  return translate(async () => void (await db.orm.delete(joinTokens).where(lt(joinTokens.expiresAt, new Date(expiredBefore)))));
}
