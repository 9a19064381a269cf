import { ListVolumes } from "@banyan/contracts";
import { handle } from "../context.ts";
import { listVolumes } from "../store/list-volumes.ts";
import { volumeView } from "../store/views.ts";

export const listVolumesOf = handle(ListVolumes, async ({ db, backends }, page) => {
  const found = await listVolumes(db, page);
  const volumes = found.slice(0, page.limit).map((row) => volumeView(row, backends.of(row.backend).capabilities()));
  return { volumes, nextCursor: found.length > page.limit ? (volumes.at(-1)?.id ?? null) : null };
});
