import { outcome } from "@banyan/testkit";
import { afterAll, beforeAll, expect, it } from "vitest";
import { childrenOf, command, ended, eventsOf, fork, getFork, heldBy, sandboxStates } from "./fork-harness.ts";
import { type Cluster, eventually, readyNodes, startCluster, startWorld, type World } from "./harness.ts";
import { type SchedulerProcess, spawnScheduler } from "./scheduler-process.ts";

let cluster: Cluster;
let world: World;
let scheduler: SchedulerProcess;

beforeAll(async () => {
  cluster = await startCluster();
  world = await startWorld(cluster, { withoutScheduler: true });
  await readyNodes(world, 6);
  scheduler = await spawnScheduler(world);
});
afterAll(async () => {
  await scheduler?.end();
  await world?.end();
  await cluster?.stop();
});

it("is killed twice in the middle of a fork, and every child is made and runs once", { timeout: 120_000 }, async () => {
  const gates = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  world.nodes.forEach((node, at) => {
    node.forks.outcomeOf = () => outcome(0);
    // Of every three nodes one answers at once, one after the first kill, one after the second.
    node.forks.onBatch = async () => {
      if (at % 3 > 0) await gates[(at % 3) - 1]?.promise;
      return null;
    };
  });
  const { id } = await fork(world, {
    count: 3_000,
    command: command(),
    after: "stop",
    spread: "spread",
    resources: { cpu: 0.1, memoryMb: 16 },
  });
  for (const [turn, gate] of gates.entries()) {
    await eventually(async () => expect((await getFork(world, id)).counts.succeeded).toBe(1_000 * (turn + 1)), { timeoutMs: 30_000 });
    await scheduler.kill();
    gate.resolve();
    scheduler = await spawnScheduler(world);
  }
  expect(await ended(world, id, 60_000)).toMatchObject({ state: "done", counts: { total: 3_000, succeeded: 3_000 } });
  const ran = world.nodes.flatMap(({ forks }) => forks.ran);
  expect(ran).toHaveLength(3_000);
  expect(new Set(ran)).toEqual(new Set((await childrenOf(world, id)).map(({ sandboxId }) => sandboxId)));
  expect(heldBy(world).size).toBe(3_000);
  expect(await sandboxStates(world, id)).toEqual({ stopped: 3_000 });
  const events = await eventsOf(world, id);
  expect(events.map(({ seq }) => seq)).toEqual(events.map((_, at) => at + 1));
  const told = events.flatMap(({ event }) =>
    event.kind === "children" ? event.children.filter(({ state }) => state === "succeeded") : [],
  );
  expect(told).toHaveLength(3_000);
});
