import { fault } from "@banyan/contracts";
import { backendVolume } from "../backend-volume.ts";
import type { Work } from "../backends/port.ts";
import type { WorkContext } from "../context.ts";
import { moveVersion } from "../store/move-version.ts";
import type { VersionRow } from "../store/schema.ts";
import { assertUnused } from "../users.ts";
import type { Deed } from "./deed.ts";
import { volumeOf } from "./volume-of.ts";

export function versionDeed(ctx: WorkContext, row: VersionRow): Deed | null {
  if (row.state === "creating") return creating(ctx, row);
  return row.state === "deleting" ? deleting(ctx, row) : null;
}

const at = ({ clock }: WorkContext): Date => new Date(clock.now());

function creating(ctx: WorkContext, row: VersionRow): Deed {
  return {
    row,
    isRemoval: false,
    async carryOut(work: Work) {
      const volume = await volumeOf(ctx, row.volumeId);
      if (volume.state === "deleting") throw fault("volume.not_found", { volume: volume.id });
      await ctx.backends.reaching(volume).snapshot(backendVolume(volume, ctx.secretKey), row.id, work);
    },
    async done() {
      const moved = await moveVersion(ctx.db, row, "created", { at: at(ctx) });
      ctx.said();
      return moved !== null;
    },
    async failed(stateReason) {
      await moveVersion(ctx.db, row, "failed", { at: at(ctx), stateReason });
      ctx.said();
    },
  };
}

function deleting(ctx: WorkContext, row: VersionRow): Deed {
  return {
    row,
    isRemoval: true,
    async carryOut(work: Work) {
      const volume = await volumeOf(ctx, row.volumeId);
      await assertUnused(ctx, row.volumeId, row.id);
      await ctx.backends.reaching(volume).removeVersion(backendVolume(volume, ctx.secretKey), row.id, work);
    },
    async done() {
      const moved = await moveVersion(ctx.db, row, "deleted", { at: at(ctx) });
      ctx.said();
      return moved !== null;
    },
    failed: async () => {},
  };
}
