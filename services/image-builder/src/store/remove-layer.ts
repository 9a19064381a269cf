import type { Database } from "@banyan/db";
import { and, eq } from "drizzle-orm";
import { isUnused } from "./find-unused-layers.ts";
import { layers } from "./schema.ts";

/**
 * Removes a layer's row together with its blob. Who puts a layer notes it first and then looks whether it is there: the row's lock makes the
 * one wait for the other, so a layer is either kept or missed at once. False: it is used by now.
 */
export function removeLayer(
  db: Database,
  { digest, putBefore }: { digest: string; putBefore: Date },
  removeBlob: () => Promise<void>,
): Promise<boolean> {
  return db.transaction(async (tx) => {
    const where = and(eq(layers.digest, digest), isUnused(putBefore));
    const locked = await tx.select({ digest: layers.digest }).from(layers).where(where).for("update");
    if (locked.length === 0) return false;
    await removeBlob();
    await tx.delete(layers).where(eq(layers.digest, digest));
    return true;
  });
}
