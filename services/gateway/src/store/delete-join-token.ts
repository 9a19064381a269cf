import { type Database, translate } from "@banyan/db";
import { eq } from "drizzle-orm";
import { joinTokens } from "./schema.ts";

/** False where there is none. Who is taking a use of it at the same moment has it before this, or not at all. */
export function deleteJoinToken(db: Database, id: string): Promise<boolean> {
  return translate(async () => {
    const rows = await db.orm.delete(joinTokens).where(eq(joinTokens.id, id)).returning({ id: joinTokens.id });
    return rows.length > 0;
  });
}
