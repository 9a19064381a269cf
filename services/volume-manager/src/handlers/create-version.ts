import { CreateVersion, fault, type InputOf } from "@banyan/contracts";
import { type Context, handle } from "../context.ts";
import { newWork } from "../domain/new-work.ts";
import { findVersion, findVersionById } from "../store/find-version.ts";
import { getVolume } from "../store/find-volume.ts";
import { insertVersion } from "../store/insert-version.ts";
import { moveVersion } from "../store/move-version.ts";
import type { VersionRow, VolumeRow } from "../store/schema.ts";
import { versionView } from "../store/views.ts";
import { workOff } from "./work-off.ts";

export const createVersion = handle(CreateVersion, async (ctx, input) => {
  const { db, backends, said } = ctx;
  const volume = await getVolume(db, input.orgId, input.volume);
  const earlier = await findVersion(db, volume.id, input.versionId);
  if (earlier !== null) return { version: versionView(earlier) };
  const backend = backends.of(volume.backend);
  if (!backend.capabilities().versions) throw fault("volume.unsupported", { backend: volume.backend, operation: "version" });
  // Throws where the store is away.
  backend.storeId();
  const inserted = await insertVersion(db, newRow(ctx, input, volume));
  const row = inserted ?? (await findVersion(db, volume.id, input.versionId));
  if (row === null) throw fault("volume.name_taken", { versionId: input.versionId }, { message: "Another volume's version has this id." });
  said();
  if (inserted !== null) await workOff(ctx, "versions", inserted).catch((error) => discard(ctx, inserted.id, error));
  return { version: versionView((await findVersionById(db, row.id)) ?? row) };
});

/** As with a volume that could not be made. */
async function discard({ db, clock }: Context, id: string, error: unknown): Promise<never> {
  const row = await findVersionById(db, id);
  const now = new Date(clock.now());
  if (row?.state === "failed") await moveVersion(db, row, "delete", { at: now, dueAt: now });
  throw error;
}

function newRow({ clock, backends }: Context, { versionId, name }: InputOf<typeof CreateVersion>, volume: VolumeRow): VersionRow {
  const now = new Date(clock.now());
  return {
    ...newWork(now),
    id: versionId,
    orgId: volume.orgId,
    volumeId: volume.id,
    name,
    state: "creating",
    isCopy: !backends.of(volume.backend).capabilities().sharesBlocks,
  };
}
