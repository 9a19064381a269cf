import { GetVersion } from "@banyan/contracts";
import { handle } from "../context.ts";
import { getVersion } from "../store/find-version.ts";
import { getVolume } from "../store/find-volume.ts";
import { versionView } from "../store/views.ts";

export const getVersionByRef = handle(GetVersion, async ({ db }, { orgId, volume, versionId }) => {
  const { id } = await getVolume(db, orgId, volume);
  return { version: versionView(await getVersion(db, id, versionId)) };
});
