import { type Database, translate } from "@banyan/db";
import { type JoinTokenRow, joinTokens } from "./schema.ts";

export function insertJoinToken(db: Database, row: JoinTokenRow): Promise<void> {
  return translate(async () => void (await db.orm.insert(joinTokens).values(row)));
}
