import { fault, RouteVolume } from "@banyan/contracts";
import { handle } from "../context.ts";
import { getVolume } from "../store/find-volume.ts";

export const routeVolume = handle(RouteVolume, async ({ db, url }, { orgId, volume }) => {
  const { id, state } = await getVolume(db, orgId, volume);
  if (state === "deleting") throw fault("volume.not_ready", { volumeId: id, state });
  return { volumeId: id, url };
});
