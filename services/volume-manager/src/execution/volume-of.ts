import { fault } from "@banyan/contracts";
import type { WorkContext } from "../context.ts";
import { findVolumeById } from "../store/find-volume.ts";
import type { VolumeRow } from "../store/schema.ts";

/** The row that a deed reads from. Throws volume.not_found. */
export async function volumeOf(ctx: WorkContext, volumeId: string): Promise<VolumeRow> {
  const row = await findVolumeById(ctx.db, volumeId);
  if (row === null || row.state === "deleted") throw fault("volume.not_found", { volume: volumeId });
  return row;
}
