import type { Transaction } from "@banyan/db";
import { outbox, type VersionRow, type VolumeRow } from "./schema.ts";

/** Writes the event of a change with the change itself. */
export async function sayVolumeChanged(tx: Transaction, row: VolumeRow, from: VolumeRow["state"] | null): Promise<void> {
  const { id, orgId, state, stateReason, updatedAt, version } = row;
  const event = { volumeId: id, orgId, versionId: null, from, to: state, reason: stateReason, at: updatedAt.getTime() };
  await tx.insert(outbox).values({ dedupeId: `${id}.${version}`, event });
}

export async function sayVersionChanged(tx: Transaction, row: VersionRow, from: VersionRow["state"] | null): Promise<void> {
  const { id, volumeId, orgId, state, stateReason, updatedAt, version } = row;
  const event = { volumeId, orgId, versionId: id, from, to: state, reason: stateReason, at: updatedAt.getTime() };
  await tx.insert(outbox).values({ dedupeId: `${id}.${version}`, event });
}
