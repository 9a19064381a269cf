import { type VersionState, versionMachine } from "@banyan/contracts";
import type { Database } from "@banyan/db";
import { assert } from "@banyan/kernel";
import { and, eq, sql } from "drizzle-orm";
import { sayVersionChanged } from "./say-changed.ts";
import { type VersionRow, versions } from "./schema.ts";

export type VersionEvent = "created" | "failed" | "delete" | "deleted";
export type VersionChanges = Partial<Pick<VersionRow, "stateReason" | "dueAt" | "usageBytes" | "usageFiles" | "measuredAt">>;

/** As `moveVolume`. */
export function moveVersion(
  db: Database,
  before: VersionRow,
  event: VersionEvent,
  changes: VersionChanges & { at: Date },
): Promise<VersionRow | null> {
  const state: VersionState | null = versionMachine.next(before.state, event);
  assert(state !== null, `a version that is ${before.state} cannot be ${event}`);
  const { at, ...set } = changes;
  const closing = before.closing === null ? sql`true` : eq(versions.closing, before.closing);
  const freed = { closing: null, closingAt: null, holder: null, leaseUntil: null, progress: null, failures: 0 };
  return db.transaction(async (tx) => {
    const [moved] = await tx
      .update(versions)
      .set({ stateReason: null, ...set, ...freed, state, version: sql`${versions.version} + 1`, updatedAt: at })
      .where(and(eq(versions.id, before.id), eq(versions.state, before.state), eq(versions.attempts, before.attempts), closing))
      .returning();
    if (moved !== undefined) await sayVersionChanged(tx, moved, before.state);
    return moved ?? null;
  });
}
