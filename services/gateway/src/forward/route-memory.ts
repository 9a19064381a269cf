import type { Bus } from "@banyan/bus";
import { fault, RouteSandbox, type SandboxRoute } from "@banyan/contracts";
import type { RouteMemory } from "../ports.ts";

const ROUTES_MAX_DEFAULT = 100_000;

/** Routes in the order of their last use; the scheduler is asked once for however many wait for the same one. */
export function createRouteMemory({ bus, routesMax = ROUTES_MAX_DEFAULT }: { bus: Pick<Bus, "call">; routesMax?: number }): RouteMemory {
  const known = new Map<string, SandboxRoute>();
  const asked = new Map<string, Promise<SandboxRoute>>();

  function remember(route: SandboxRoute): void {
    const before = known.get(route.sandboxId);
    if (before && before.epoch > route.epoch) return;
    known.delete(route.sandboxId);
    known.set(route.sandboxId, route);
    if (known.size > routesMax) known.delete(known.keys().next().value ?? "");
  }

  function ask(orgId: string, sandboxId: string): Promise<SandboxRoute> {
    const key = `${orgId} ${sandboxId}`;
    const under = asked.get(key);
    if (under) return under;
    const answer = bus
      .call(RouteSandbox, { orgId, id: sandboxId })
      .then((route) => {
        // Forgotten meanwhile: the answer may be older than the reason to forget.
        if (asked.get(key) === answer) remember(route);
        return route;
      })
      .finally(() => {
        if (asked.get(key) === answer) asked.delete(key);
      });
    asked.set(key, answer);
    return answer;
  }

  function recall(orgId: string, sandboxId: string): SandboxRoute | null {
    const route = known.get(sandboxId);
    if (!route) return null;
    if (route.orgId !== orgId) throw fault("sandbox.not_found", { sandboxId });
    known.delete(sandboxId);
    known.set(sandboxId, route);
    return route;
  }

  return {
    find: async (orgId, sandboxId) => recall(orgId, sandboxId) ?? ask(orgId, sandboxId),
    // Not remembered: what is remembered runs.
    findStored: async (orgId, sandboxId) => recall(orgId, sandboxId) ?? bus.call(RouteSandbox, { orgId, id: sandboxId, stopped: true }),
    remember,
    forget(sandboxId) {
      known.delete(sandboxId);
      for (const key of asked.keys()) if (key.endsWith(` ${sandboxId}`)) asked.delete(key);
    },
  };
}
