import { DeleteVolume, fault } from "@banyan/contracts";
import { newId } from "@banyan/kernel";
import { type Context, handle } from "../context.ts";
import { mayDelete } from "../domain/in-use.ts";
import { closeVolume, openVolume } from "../store/close-volume.ts";
import { findVolume } from "../store/find-volume.ts";
import { moveVolume } from "../store/move-volume.ts";
import type { VolumeRow } from "../store/schema.ts";
import { askUsers, inUse } from "../users.ts";

const TRIES_MAX = 5;

/** Closed first, asked then: whoever asks to mount it after this is refused, whoever asked before is found. */
export const deleteVolume = handle(DeleteVolume, async (ctx, { orgId, volume, force }) => {
  for (let tries = 0; tries < TRIES_MAX; tries++) {
    const row = await findVolume(ctx.db, orgId, volume);
    if (row === null) throw fault("volume.not_found", { volume });
    if (row.state === "deleting" || row.state === "deleted") return { state: row.state };
    if (await close(ctx, row, force)) return { state: "deleting" as const };
  }
  throw fault("database.unavailable", { retryAfterMs: 500 }, { message: "Others change the volume at the same time." });
});

/** False: it was changed by somebody else meanwhile. */
async function close(ctx: Context, row: VolumeRow, force: boolean): Promise<boolean> {
  const { db, clock, config, works } = ctx;
  const closing = newId("req");
  const closed = await closeVolume(db, row, closing, new Date(clock.now()));
  if (closed === null) return false;
  try {
    const users = await askUsers(ctx, row.id, null);
    if (!mayDelete(users, force)) throw inUse(users);
    const now = clock.now();
    const moved = await moveVolume(db, closed, "delete", { at: new Date(now), dueAt: new Date(now + config.deleteGraceMs) });
    if (moved !== null) works.abort(row.id);
    ctx.said();
    return moved !== null;
  } catch (error) {
    await openVolume(db, row.id, closing);
    throw error;
  }
}
