import type { Database } from "@banyan/db";
import { and, asc, eq, lt } from "drizzle-orm";
import { contexts } from "./schema.ts";

/** Removes one upload that no build has used since, with its blob. Like a layer: who uses it notes it, and then looks whether it is there. False: there is none. */
export function removeOldContext(
  db: Database,
  usedBefore: Date,
  removeBlob: (context: { orgId: string; digest: string }) => Promise<void>,
): Promise<boolean> {
  return db.transaction(async (tx) => {
    const [old] = await tx
      .select()
      .from(contexts)
      .where(lt(contexts.usedAt, usedBefore))
      .orderBy(asc(contexts.usedAt))
      .limit(1)
      .for("update", { skipLocked: true });
    if (old === undefined) return false;
    await removeBlob(old);
    await tx.delete(contexts).where(and(eq(contexts.orgId, old.orgId), eq(contexts.digest, old.digest)));
    return true;
  });
}
