import { fault, LIMITS } from "@banyan/contracts";
import { type Database, isUniqueViolation, type Transaction } from "@banyan/db";
import { and, count, eq, ne, sql } from "drizzle-orm";
import { sayVolumeChanged } from "./say-changed.ts";
import { type VolumeRow, volumes } from "./schema.ts";

/** Null: one of this id is there already. Throws volume.name_taken and volume.too_many. */
export async function insertVolume(db: Database, row: VolumeRow): Promise<VolumeRow | null> {
  try {
    return await db.transaction(async (tx) => {
      await boundVolumes(tx, row);
      const [inserted] = await tx.insert(volumes).values(row).onConflictDoNothing({ target: volumes.id }).returning();
      if (inserted !== undefined) await sayVolumeChanged(tx, inserted, null);
      return inserted ?? null;
    });
  } catch (error) {
    if (isUniqueViolation(error, "volumes_name")) throw fault("volume.name_taken", { name: row.name }, { cause: error });
    throw error;
  }
}

/** Those that are made at once count each other: one after the other, within an organisation. */
async function boundVolumes(tx: Transaction, { id, orgId }: VolumeRow): Promise<void> {
  await tx.execute(sql`select pg_advisory_xact_lock(hashtextextended(current_schema() || ' volumes of ' || ${orgId}, 0))`);
  const where = and(eq(volumes.orgId, orgId), ne(volumes.state, "deleted"), ne(volumes.id, id));
  const [counted] = await tx.select({ n: count() }).from(volumes).where(where);
  if ((counted?.n ?? 0) >= LIMITS.volumesPerOrg) throw fault("volume.too_many", { max: LIMITS.volumesPerOrg, of: "volumes" });
}
