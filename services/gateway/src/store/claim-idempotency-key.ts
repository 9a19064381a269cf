import { type Database, translate } from "@banyan/db";
import { and, eq, sql } from "drizzle-orm";
import { type IdempotencyRow, idempotencyKeys } from "./schema.ts";

export type NewClaim = Pick<IdempotencyRow, "organisationId" | "key" | "fingerprint" | "resourceId" | "deadlineAt" | "createdAt">;
export type Claim = { kind: "claimed"; row: IdempotencyRow } | { kind: "taken"; row: IdempotencyRow };

/**
 * First come, first claimed. A request without a reply whose deadline has passed is dead and is taken over, with the resource id it had: so the
 * repeat finds what the dead one may have made. One statement decides, so that of many at once exactly one claims.
 */
export function claimIdempotencyKey(db: Database, claim: NewClaim): Promise<Claim | null> {
  return translate(async () => {
    const claimed = await db.orm
      .insert(idempotencyKeys)
      .values({ ...claim, claim: 1 })
      .onConflictDoUpdate({
        target: [idempotencyKeys.organisationId, idempotencyKeys.key],
        set: { claim: sql`${idempotencyKeys.claim} + 1`, deadlineAt: claim.deadlineAt },
        setWhere: sql`${idempotencyKeys.status} is null and ${idempotencyKeys.deadlineAt} <= excluded.created_at and ${idempotencyKeys.fingerprint} = excluded.fingerprint`,
      })
      .returning();
    if (claimed[0]) return { kind: "claimed", row: claimed[0] };
    const taken = await db.orm
      .select()
      .from(idempotencyKeys)
      .where(and(eq(idempotencyKeys.organisationId, claim.organisationId), eq(idempotencyKeys.key, claim.key)));
    return taken[0] ? { kind: "taken", row: taken[0] } : null;
  });
}
