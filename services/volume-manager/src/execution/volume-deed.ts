import { assert } from "@banyan/kernel";
import { backendVolume } from "../backend-volume.ts";
import type { BackendVolume, VolumeBackend, Work } from "../backends/port.ts";
import type { WorkContext } from "../context.ts";
import { mayReplace } from "../domain/in-use.ts";
import { deleteVersionsOf } from "../store/delete-versions-of.ts";
import { moveVolume } from "../store/move-volume.ts";
import type { VolumeRow } from "../store/schema.ts";
import { askUsers, assertUnused, inUse } from "../users.ts";
import type { Deed } from "./deed.ts";
import { volumeOf } from "./volume-of.ts";

interface Parts {
  ctx: WorkContext;
  row: VolumeRow;
  backend: VolumeBackend;
  volume: BackendVolume;
}

export function volumeDeed(ctx: WorkContext, row: VolumeRow): Deed | null {
  const parts = { ctx, row, backend: ctx.backends.of(row.backend), volume: backendVolume(row, ctx.secretKey) };
  if (row.state === "creating") return creating(parts);
  if (row.state === "restoring") return restoring(parts);
  return row.state === "deleting" ? deleting(parts) : null;
}

const WHAT_NOW = "Nothing was made: delete this volume, and create it again with the right `remote`, or when its store is back.";

const at = ({ clock }: WorkContext): Date => new Date(clock.now());

function creating({ ctx, row, backend, volume }: Parts): Deed {
  const isEmpty = row.originVolumeId === null;
  const empty = row.backend === "directory" && isEmpty ? { usageBytes: 0, usageFiles: 0, measuredAt: at(ctx) } : {};
  const isObject = row.backend === "object";
  return {
    row,
    isRemoval: false,
    // Its store is whatever the caller has named: more likely named wrong than away.
    ...(isObject && { dueBy: row.createdAt.getTime() + ctx.config.objectCreateMs }),
    async carryOut(work: Work) {
      ctx.backends.reaching(row);
      if (row.originVolumeId === null) return backend.create(volume);
      const origin = await volumeOf(ctx, row.originVolumeId);
      await backend.fork({ volume: backendVolume(origin, ctx.secretKey), versionId: row.originVersionId }, volume, work);
    },
    async done() {
      const moved = await moveVolume(ctx.db, row, "created", { at: at(ctx), measureDueAt: at(ctx), ...empty });
      ctx.said();
      return moved !== null;
    },
    async failed(reason) {
      const stateReason = isObject ? `${reason}. ${WHAT_NOW}` : reason;
      await moveVolume(ctx.db, row, "failed", { at: at(ctx), stateReason });
      ctx.said();
    },
  };
}

function restoring({ ctx, row, backend, volume }: Parts): Deed {
  const end = async (stateReason: string | null, contentEpoch: number): Promise<boolean> => {
    const changes = { at: at(ctx), measureDueAt: at(ctx), restoreVersionId: null, stateReason, contentEpoch };
    const moved = await moveVolume(ctx.db, row, "restored", changes);
    ctx.said();
    return moved !== null;
  };
  return {
    row,
    isRemoval: false,
    async carryOut(work: Work) {
      ctx.backends.reaching(row);
      assert(row.restoreVersionId !== null, "a volume is restored to a version");
      // A start that had asked before the volume was closed is seen by now.
      const users = await askUsers(ctx, row.id, null);
      if (!mayReplace(users)) throw inUse(users);
      await backend.restore(volume, row.restoreVersionId, work);
    },
    done: () => end(null, row.contentEpoch + 1),
    // The content is what it was.
    failed: async (reason) => void (await end(`It was not restored: ${reason}`, row.contentEpoch)),
  };
}

function deleting({ ctx, row, backend, volume }: Parts): Deed {
  return {
    row,
    isRemoval: true,
    async carryOut(work: Work) {
      ctx.backends.reaching(row);
      await assertUnused(ctx, row.id, null);
      await backend.remove(volume, work);
    },
    async done() {
      await deleteVersionsOf(ctx.db, row.id, at(ctx));
      const moved = await moveVolume(ctx.db, row, "deleted", { at: at(ctx) });
      ctx.said();
      return moved !== null;
    },
    failed: async () => {},
  };
}
