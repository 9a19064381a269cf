import { type VolumeState, volumeMachine } from "@banyan/contracts";
import type { Database } from "@banyan/db";
import { assert } from "@banyan/kernel";
import { and, eq, sql } from "drizzle-orm";
import { sayVolumeChanged } from "./say-changed.ts";
import { type VolumeRow, volumes } from "./schema.ts";

export type VolumeEvent = "created" | "failed" | "restore" | "restored" | "delete" | "deleted";
export type VolumeChanges = Partial<
  Pick<
    VolumeRow,
    "stateReason" | "restoreVersionId" | "contentEpoch" | "isCopy" | "dueAt" | "measureDueAt" | "usageBytes" | "usageFiles" | "measuredAt"
  >
>;

/**
 * Row and event in one transaction. Fenced by what the row was: its state, the try that is under way, and who is closing it. Null: it is no longer so.
 * Whatever held it is let go of.
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
    if (moved !== undefined) await sayVolumeChanged(tx, moved, before.state);
    return moved ?? null;
  });
}
