import { type Database, translate } from "@banyan/db";
import { desc } from "drizzle-orm";
import { type JoinTokenRow, joinTokens } from "./schema.ts";

const JOIN_TOKENS_LISTED_MAX = 1_000;

/** The latest first: where there are too many to list, the old ones are those that expire soon by themselves. */
export function listJoinTokens(db: Database): Promise<JoinTokenRow[]> {
  return translate(async () =>
    db.orm.select().from(joinTokens).orderBy(desc(joinTokens.createdAt), desc(joinTokens.id)).limit(JOIN_TOKENS_LISTED_MAX),
  );
}
