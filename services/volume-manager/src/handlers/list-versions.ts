import { ListVersions } from "@banyan/contracts";
import { handle } from "../context.ts";
import { getVolume } from "../store/find-volume.ts";
import { listVersions } from "../store/list-versions.ts";
import { versionView } from "../store/views.ts";

export const listVersionsOf = handle(ListVersions, async ({ db }, { orgId, volume, cursor, limit }) => {
  const { id } = await getVolume(db, orgId, volume);
  const found = await listVersions(db, { volumeId: id, cursor, limit });
  const versions = found.slice(0, limit).map(versionView);
  return { versions, nextCursor: found.length > limit ? (versions.at(-1)?.id ?? null) : null };
});
