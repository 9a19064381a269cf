import type { Bus } from "@banyan/bus";
import { RouteVolume } from "@banyan/contracts";
import { idPattern } from "@banyan/kernel";
import type { VolumeRoutes } from "../ports.ts";

const VOLUME_ID = idPattern("vol");
const ROUTES_MAX_DEFAULT = 10_000;

interface Route {
  orgId: string;
  volumeId: string;
  url: string;
}

/** Routes in the order of their last use. Who serves a volume's content looks himself whether it is there, and whose it is. */
export function createVolumeRoutes({ bus, routesMax = ROUTES_MAX_DEFAULT }: { bus: Pick<Bus, "call">; routesMax?: number }): VolumeRoutes {
  const known = new Map<string, Route>();
  return {
    async find(orgId, volume) {
      const found = known.get(volume);
      const route = found !== undefined && found.orgId === orgId ? found : { orgId, ...(await bus.call(RouteVolume, { orgId, volume })) };
      // A volume's name may look like another one's id, so only what was asked for by its own id is remembered.
      if (route.volumeId !== volume || !VOLUME_ID.test(volume)) return route;
      known.delete(volume);
      known.set(volume, route);
      if (known.size > routesMax) known.delete(known.keys().next().value ?? "");
      return route;
    },
    forget: (volumeId) => void known.delete(volumeId),
  };
}
