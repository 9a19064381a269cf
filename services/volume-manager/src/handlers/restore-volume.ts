import { fault, RestoreVolume } from "@banyan/contracts";
import { newId } from "@banyan/kernel";
import { type Context, handle } from "../context.ts";
import { activeUsers, mayReplace } from "../domain/in-use.ts";
import { closeVolume, openVolume } from "../store/close-volume.ts";
import { getVersion } from "../store/find-version.ts";
import { findVolumeById, getVolume } from "../store/find-volume.ts";
import { moveVolume } from "../store/move-volume.ts";
import type { VersionRow, VolumeRow } from "../store/schema.ts";
import { volumeView } from "../store/views.ts";
import { askUsers, inUse } from "../users.ts";
import { workOff } from "./work-off.ts";

export const restoreVolume = handle(RestoreVolume, async (ctx, { orgId, volume, versionId }) => {
  const row = await getVolume(ctx.db, orgId, volume);
  const version = await getVersion(ctx.db, row.id, versionId);
  const backend = ctx.backends.of(row.backend);
  const view = (of: VolumeRow) => ({ volume: volumeView(of, backend.capabilities()) });
  // Asked again while it is under way.
  if (row.state === "restoring" && row.restoreVersionId === version.id) return view(row);
  const isReady = (row.state === "ready" || row.state === "failed") && version.state === "ready" && version.closing === null;
  if (!isReady) throw fault("volume.not_ready", { volumeId: row.id, state: row.state, versionState: version.state });
  // Throws where the store is away.
  backend.storeId();
  const begun = await begin(ctx, row, version);
  await workOff(ctx, "volumes", begun);
  return view((await findVolumeById(ctx.db, row.id)) ?? begun);
});

/** Closed first, asked then, as with a delete. */
async function begin(ctx: Context, row: VolumeRow, { id: restoreVersionId }: VersionRow): Promise<VolumeRow> {
  const { db, clock, backends } = ctx;
  const closing = newId("req");
  const closed = await closeVolume(db, row, closing, new Date(clock.now()));
  if (closed === null) throw fault("volume.not_ready", { volumeId: row.id, retryAfterMs: 500 });
  try {
    const users = await askUsers(ctx, row.id, null);
    if (!mayReplace(users)) throw inUse({ ...users, users: activeUsers(users) });
    const at = new Date(clock.now());
    const isCopy = !backends.of(row.backend).capabilities().sharesBlocks;
    const moved = await moveVolume(db, closed, "restore", { at, dueAt: at, restoreVersionId, isCopy });
    ctx.said();
    if (moved === null) throw fault("volume.not_ready", { volumeId: row.id, retryAfterMs: 500 });
    return moved;
  } catch (error) {
    await openVolume(db, row.id, closing);
    throw error;
  }
}
