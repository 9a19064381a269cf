import { fault, type VolumeState, volumeMachine } from "@banyan/contracts";
import type { Database, Transaction } from "@banyan/db";
import { assert } from "@banyan/kernel";
import { and, eq, isNull, sql } from "drizzle-orm";
import { sayVolumeChanged } from "./say-changed.ts";
import { type VolumeRow, versions, volumes } from "./schema.ts";

const RETRY_AFTER_MS = 2_000;

export type VolumeEvent = "created" | "failed" | "restore" | "restored" | "delete" | "deleted";
export type VolumeChanges = Partial<
  Pick<
    VolumeRow,
    "stateReason" | "restoreVersionId" | "contentEpoch" | "isCopy" | "dueAt" | "measureDueAt" | "usageBytes" | "usageFiles" | "measuredAt"
  >
>;

/**
 * Row and event in one transaction. Fenced by what the row was: its state, the try that is under way, and who is closing it. Null: it is no longer so.
 * Whatever held it is let go of. Throws volume.not_ready where it is to be restored while its content is copied.
 */
export function moveVolume(
  db: Database,
  before: VolumeRow,
  event: VolumeEvent,
  changes: VolumeChanges & { at: Date },
): Promise<VolumeRow | null> {
  const state: VolumeState | null = volumeMachine.next(before.state, event);
  assert(state !== null, `a volume that is ${before.state} cannot be ${event}`);
  const { at, ...set } = changes;
  const closing = before.closing === null ? sql`true` : eq(volumes.closing, before.closing);
  return db.transaction(async (tx) => {
    const [moved] = await tx
      .update(volumes)
      .set({
        stateReason: null,
        ...set,
        state,
        closing: null,
        closingAt: null,
        holder: null,
        leaseUntil: null,
        progress: null,
        failures: 0,
        version: sql`${volumes.version} + 1`,
        updatedAt: at,
      })
      .where(and(eq(volumes.id, before.id), eq(volumes.state, before.state), eq(volumes.attempts, before.attempts), closing))
      .returning();
    if (moved === undefined) return null;
    // With the row locked: who begins a copy later finds it restoring.
    if (event === "restore") await assertNotCopied(tx, before.id);
    await sayVolumeChanged(tx, moved, before.state);
    return moved;
  });
}

/** A version or a fork that is being made of the content would be of no single moment. */
async function assertNotCopied(tx: Transaction, volumeId: string): Promise<void> {
  const made = and(eq(versions.volumeId, volumeId), eq(versions.state, "creating"));
  const forked = and(eq(volumes.originVolumeId, volumeId), isNull(volumes.originVersionId), eq(volumes.state, "creating"));
  const found = [
    ...(await tx.select({ id: versions.id }).from(versions).where(made).limit(1)),
    ...(await tx.select({ id: volumes.id }).from(volumes).where(forked).limit(1)),
  ];
  const [copy] = found;
  if (copy !== undefined)
    throw fault("volume.not_ready", { volumeId, copy: copy.id, retryAfterMs: RETRY_AFTER_MS }, { message: "Its content is being copied." });
}
