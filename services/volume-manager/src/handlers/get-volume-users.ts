import { GetVolumeUsers } from "@banyan/contracts";
import { handle } from "../context.ts";
import { getVolume } from "../store/find-volume.ts";
import { askUsers } from "../users.ts";

export const getVolumeUsers = handle(GetVolumeUsers, async (ctx, { orgId, volume }) => {
  const { id } = await getVolume(ctx.db, orgId, volume);
  const { users, total } = await askUsers(ctx, id, null);
  return { users: [...users], total };
});
