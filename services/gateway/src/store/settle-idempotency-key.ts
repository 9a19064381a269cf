import { type Database, translate } from "@banyan/db";
import { and, eq, isNull } from "drizzle-orm";
import { type IdempotencyRow, idempotencyKeys } from "./schema.ts";

type ClaimRef = Pick<IdempotencyRow, "organisationId" | "key" | "claim">;

/** How a claimed request ended. */
export type Settlement =
  /** With a reply that every repeat gets. */
  | { kind: "replied"; status: number; body: string | null; sealed: boolean }
  /** Without effect: the next one starts afresh. */
  | { kind: "undone" }
  /** Nobody knows: the next one takes over at once, with the same resource id. */
  | { kind: "unknown"; now: number };

/** Does nothing where another has taken the claim over. */
export function settleIdempotencyKey(db: Database, ref: ClaimRef, settlement: Settlement): Promise<void> {
  return translate(async () => {
    const mine = and(
      eq(idempotencyKeys.organisationId, ref.organisationId),
      eq(idempotencyKeys.key, ref.key),
      eq(idempotencyKeys.claim, ref.claim),
      isNull(idempotencyKeys.status),
    );
    switch (settlement.kind) {
      case "replied": {
        const { status, body, sealed } = settlement;
        await db.orm.update(idempotencyKeys).set({ status, body, sealed }).where(mine);
        return;
      }
      case "undone":
        await db.orm.delete(idempotencyKeys).where(mine);
        return;
      case "unknown":
        await db.orm
          .update(idempotencyKeys)
          .set({ deadlineAt: new Date(settlement.now) })
          .where(mine);
    }
  });
}
