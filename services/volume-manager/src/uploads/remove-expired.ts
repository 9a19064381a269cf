import { isFault } from "@banyan/contracts";
import type { Database } from "@banyan/db";
import type { Clock, Logger } from "@banyan/kernel";
import { deleteUpload } from "../store/delete-upload.ts";
import { findExpiredUploads } from "../store/find-expired-uploads.ts";
import type { Uploads } from "./uploads.ts";

const BATCH_MAX = 1_000;

/** Gives up the uploads whose time is over. True: there may be more. */
export async function removeExpired(deps: { db: Database; clock: Clock; logger: Logger; uploads: Uploads }): Promise<boolean> {
  const { db, clock, logger, uploads } = deps;
  const rows = await findExpiredUploads(db, new Date(clock.now()), BATCH_MAX);
  let removed = 0;
  for (const row of rows) {
    try {
      await uploads.drop(row);
      removed++;
    } catch (err) {
      // With the volume its files are gone too.
      if (isFault(err, "volume.not_found")) await deleteUpload(db, row.id);
      else logger.debug({ err, uploadId: row.id }, "an upload that is over stays until its volume answers");
    }
  }
  return removed === BATCH_MAX;
}
