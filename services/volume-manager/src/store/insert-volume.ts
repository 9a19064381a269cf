import { fault, LIMITS } from "@banyan/contracts";
import { type Database, isUniqueViolation, type Transaction } from "@banyan/db";
import { and, count, eq, ne, sql } from "drizzle-orm";
import { holdSecretKey } from "./check-secret-key.ts";
import { sayVolumeChanged } from "./say-changed.ts";
import { type VolumeRow, versions, volumes } from "./schema.ts";

const RETRY_AFTER_MS = 1_000;

/** Null: one of this id is there already. Throws volume.name_taken and volume.too_many. */
export async function insertVolume(db: Database, row: VolumeRow, secretKey: string): Promise<VolumeRow | null> {
  try {
    return await db.transaction(async (tx) => {
      await boundVolumes(tx, row);
      await holdOrigin(tx, row);
      if (row.secretsSealed !== null) await holdSecretKey(tx, secretKey);
      const [inserted] = await tx.insert(volumes).values(row).onConflictDoNothing({ target: volumes.id }).returning();
      if (inserted !== undefined) await sayVolumeChanged(tx, inserted, null);
      return inserted ?? null;
    });
  } catch (error) {
    if (isUniqueViolation(error, "volumes_name")) throw fault("volume.name_taken", { name: row.name }, { cause: error });
    throw error;
  }
}

/** What it is copied from is neither restored nor deleted from here on, until the copy is whole. */
async function holdOrigin(tx: Transaction, { originVolumeId, originVersionId }: VolumeRow): Promise<void> {
  if (originVolumeId === null) return;
  const [origin] = await tx.select({ state: volumes.state }).from(volumes).where(eq(volumes.id, originVolumeId)).for("share");
  const version = originVersionId === null ? [] : await tx.select().from(versions).where(eq(versions.id, originVersionId)).for("share");
  const isReady = origin?.state === "ready" && (originVersionId === null || version[0]?.state === "ready");
  if (!isReady)
    throw fault("volume.not_ready", { volumeId: originVolumeId, state: origin?.state ?? "deleted", retryAfterMs: RETRY_AFTER_MS });
}

/** Those that are made at once count each other: one after the other, within an organisation. */
async function boundVolumes(tx: Transaction, { id, orgId }: VolumeRow): Promise<void> {
  await tx.execute(sql`select pg_advisory_xact_lock(hashtextextended(current_schema() || ' volumes of ' || ${orgId}, 0))`);
  const where = and(eq(volumes.orgId, orgId), ne(volumes.state, "deleted"), ne(volumes.id, id));
  const [counted] = await tx.select({ n: count() }).from(volumes).where(where);
  if ((counted?.n ?? 0) >= LIMITS.volumesPerOrg) throw fault("volume.too_many", { max: LIMITS.volumesPerOrg, of: "volumes" });
}
