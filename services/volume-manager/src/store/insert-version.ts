import { fault, LIMITS } from "@banyan/contracts";
import { type Database, isUniqueViolation, type Transaction } from "@banyan/db";
import { and, count, eq, ne, sql } from "drizzle-orm";
import { sayVersionChanged } from "./say-changed.ts";
import { type VersionRow, versions, volumes } from "./schema.ts";

/** Null: one of this id is there already. Throws volume.not_ready where the volume is no longer ready, volume.name_taken and volume.too_many. */
export async function insertVersion(db: Database, row: VersionRow): Promise<VersionRow | null> {
  try {
    return await db.transaction(async (tx) => {
      await holdVolume(tx, row);
      const [inserted] = await tx.insert(versions).values(row).onConflictDoNothing({ target: versions.id }).returning();
      if (inserted !== undefined) await sayVersionChanged(tx, inserted, null);
      return inserted ?? null;
    });
  } catch (error) {
    if (isUniqueViolation(error, "versions_name")) throw fault("volume.name_taken", { name: row.name }, { cause: error });
    throw error;
  }
}

/** The volume's row is locked, so that it is neither deleted nor restored meanwhile, and that those made at once count each other. */
async function holdVolume(tx: Transaction, { id, orgId, volumeId }: VersionRow): Promise<void> {
  const [volume] = await tx.select({ state: volumes.state }).from(volumes).where(eq(volumes.id, volumeId)).for("update");
  if (volume?.state !== "ready") throw fault("volume.not_ready", { volumeId, state: volume?.state ?? "deleted" });
  const where = and(eq(versions.volumeId, volumeId), ne(versions.state, "deleted"), sql`${versions.id} <> ${id}`);
  const [counted] = await tx.select({ n: count() }).from(versions).where(where);
  if ((counted?.n ?? 0) >= LIMITS.versionsPerVolume) throw fault("volume.too_many", { max: LIMITS.versionsPerVolume, of: "versions" });
  await tx.execute(sql`select pg_advisory_xact_lock(hashtextextended(current_schema() || ' versions of ' || ${orgId}, 0))`);
  const [all] = await tx
    .select({ n: count() })
    .from(versions)
    .where(and(eq(versions.orgId, orgId), ne(versions.state, "deleted")));
  if ((all?.n ?? 0) >= LIMITS.versionsPerOrg) throw fault("volume.too_many", { max: LIMITS.versionsPerOrg, of: "versions of all volumes" });
}
