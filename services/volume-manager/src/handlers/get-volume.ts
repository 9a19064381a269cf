import { GetVolume } from "@banyan/contracts";
import { handle } from "../context.ts";
import { getVolume } from "../store/find-volume.ts";
import { volumeView } from "../store/views.ts";

export const getVolumeByRef = handle(GetVolume, async ({ db, backends }, { orgId, volume }) => {
  const row = await getVolume(db, orgId, volume);
  return { volume: volumeView(row, backends.of(row.backend).capabilities()) };
});
