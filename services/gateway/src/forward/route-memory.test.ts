import { fault, type InputOf, type RouteSandbox, type SandboxRoute } from "@banyan/contracts";
import { newId } from "@banyan/kernel";
import { expect, it } from "vitest";
import { createRouteMemory } from "./route-memory.ts";

const orgId = newId("org");
const routeOf = (epoch = 1, sandboxId: string = newId("sbx")): SandboxRoute => ({
  sandboxId,
  orgId,
  nodeId: "n1",
  url: "http://10.0.0.1:1",
  epoch,
});

/** A scheduler that knows these routes and counts how often it is asked. */
function scheduler(...routes: SandboxRoute[]) {
  const asked: string[] = [];
  const call = async (_verb: typeof RouteSandbox, input: InputOf<typeof RouteSandbox>): Promise<SandboxRoute> => {
    asked.push(input.id);
    await Promise.resolve();
    const found = routes.find((route) => route.sandboxId === input.id && route.orgId === input.orgId);
    if (!found) throw fault("sandbox.not_found");
    return found;
  };
  return { asked, routes, bus: { call: call as never } };
}

it("asks once, however many want the same route", async () => {
  const route = routeOf();
  const { asked, bus } = scheduler(route);
  const memory = createRouteMemory({ bus });
  const found = await Promise.all(Array.from({ length: 20 }, () => memory.find(orgId, route.sandboxId)));
  await memory.find(orgId, route.sandboxId);
  expect(found.every((each) => each === route)).toBe(true);
  expect(asked).toHaveLength(1);
});

it("shows a route to no other organisation", async () => {
  const route = routeOf();
  const memory = createRouteMemory({ bus: scheduler(route).bus });
  memory.remember(route);
  await expect(memory.find(newId("org"), route.sandboxId)).rejects.toMatchObject({ code: "sandbox.not_found" });
});

it("asks again after it was told to forget, also when an answer was under way", async () => {
  const { routes, asked, bus } = scheduler(routeOf(1));
  const memory = createRouteMemory({ bus });
  const first = routes[0] as SandboxRoute;
  const underWay = memory.find(orgId, first.sandboxId);
  memory.forget(first.sandboxId);
  await underWay;
  routes[0] = { ...first, epoch: 2 };
  expect((await memory.find(orgId, first.sandboxId)).epoch).toBe(2);
  expect(asked).toHaveLength(2);
});

it("keeps the newer of two incarnations", async () => {
  const memory = createRouteMemory({ bus: scheduler().bus });
  const newer = routeOf(3);
  memory.remember(newer);
  memory.remember({ ...newer, epoch: 2 });
  expect((await memory.find(orgId, newer.sandboxId)).epoch).toBe(3);
});

it("forgets the one used longest ago when it is full, and never remembers a failure", async () => {
  const all = [routeOf(), routeOf(), routeOf()] as const;
  const { asked, bus } = scheduler(...all);
  const memory = createRouteMemory({ bus, routesMax: 2 });
  memory.remember(all[0]);
  memory.remember(all[1]);
  await memory.find(orgId, all[0].sandboxId);
  memory.remember(all[2]);
  await memory.find(orgId, all[0].sandboxId);
  expect(asked).toEqual([]);
  await memory.find(orgId, all[1].sandboxId);
  expect(asked).toEqual([all[1].sandboxId]);
  await expect(memory.find(orgId, newId("sbx"))).rejects.toThrow();
});
