import { backendVolume } from "../backend-volume.ts";
import type { Context } from "../context.ts";
import { openForgotten } from "../store/close-volume.ts";
import { findVolumeById } from "../store/find-volume.ts";
import { purgeDeleted } from "../store/purge-deleted.ts";
import { purgeUploads } from "../store/purge-uploads.ts";

const BATCH_MAX = 1_000;
/** Longer than whoever closes a volume asks. */
const CLOSING_MS = 30_000;

/** Removes what has been kept long enough, and opens what was being closed by a process that ended. */
export async function keepHouse({ db, clock, config }: Context): Promise<boolean> {
  const now = clock.now();
  const before = new Date(now - config.deletedKeptMs);
  await openForgotten(db, new Date(now - CLOSING_MS));
  const uploads = await purgeUploads(db, { before, now: new Date(now), limit: BATCH_MAX });
  return (await purgeDeleted(db, before, BATCH_MAX)) >= BATCH_MAX || uploads >= BATCH_MAX;
}

/** Removes what a deed left beside a volume when it was cut short, where the row says that it is over. */
export async function tidyStores({ db, backends, secretKey, clock }: Context): Promise<void> {
  for (const backend of backends.all()) {
    if (backend.state().state === "lost") continue;
    for (const id of await backend.leftBehind()) {
      const row = await findVolumeById(db, id);
      const isIdle = row !== null && (row.leaseUntil === null || row.leaseUntil.getTime() < clock.now());
      if (isIdle && (row.state === "ready" || row.state === "failed")) await backend.tidy(backendVolume(row, secretKey));
    }
  }
}
