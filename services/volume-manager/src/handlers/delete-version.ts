import { DeleteVersion, fault } from "@banyan/contracts";
import { newId } from "@banyan/kernel";
import { type Context, handle } from "../context.ts";
import { mayDelete } from "../domain/in-use.ts";
import { closeVersion, openVersion } from "../store/close-version.ts";
import { findVersion } from "../store/find-version.ts";
import { getVolume } from "../store/find-volume.ts";
import { moveVersion } from "../store/move-version.ts";
import type { VersionRow } from "../store/schema.ts";
import { askUsers, inUse } from "../users.ts";

const TRIES_MAX = 5;

/** As with a volume. */
export const deleteVersion = handle(DeleteVersion, async (ctx, { orgId, volume, versionId, force }) => {
  const { id } = await getVolume(ctx.db, orgId, volume);
  for (let tries = 0; tries < TRIES_MAX; tries++) {
    const row = await findVersion(ctx.db, id, versionId);
    if (row === null) throw fault("volume.version_not_found", { volumeId: id, version: versionId });
    if (row.state === "deleting" || row.state === "deleted") return {};
    if (await close(ctx, row, force)) return {};
  }
  throw fault("database.unavailable", { retryAfterMs: 500 }, { message: "Others change the version at the same time." });
});

async function close(ctx: Context, row: VersionRow, force: boolean): Promise<boolean> {
  const { db, clock, config, works } = ctx;
  const closing = newId("req");
  const closed = await closeVersion(db, row, closing, new Date(clock.now()));
  if (closed === null) return false;
  try {
    const users = await askUsers(ctx, row.volumeId, row.id);
    if (!mayDelete(users, force)) throw inUse(users);
    const now = clock.now();
    const moved = await moveVersion(db, closed, "delete", { at: new Date(now), dueAt: new Date(now + config.deleteGraceMs) });
    if (moved !== null) works.abort(row.id);
    ctx.said();
    return moved !== null;
  } catch (error) {
    await openVersion(db, row.id, closing);
    throw error;
  }
}
