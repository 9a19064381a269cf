import { type Database, translate } from "@banyan/db";
import { and, eq, gt, isNull, or, sql } from "drizzle-orm";
import { joinTokens } from "./schema.ts";

/** One use of a token, by one statement however many ask at once. Null where it is unknown, used up, expired, or another node's. */
export function takeJoinToken(
  db: Database,
  { hash, nodeId, now }: { hash: string; nodeId: string | null; now: number },
): Promise<{ nodeId: string | null } | null> {
  return translate(async () => {
    const rows = await db.orm
      .update(joinTokens)
      .set({ usesLeft: sql`${joinTokens.usesLeft} - 1` })
      .where(
        and(
          eq(joinTokens.hash, hash),
          gt(joinTokens.usesLeft, 0),
          gt(joinTokens.expiresAt, new Date(now)),
          nodeId === null ? undefined : or(isNull(joinTokens.nodeId), eq(joinTokens.nodeId, nodeId)),
        ),
      )
      .returning({ nodeId: joinTokens.nodeId });
    return rows[0] ?? null;
  });
}
