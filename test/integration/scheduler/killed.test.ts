import { ListNodes } from "@banyan/contracts";
import { newId } from "@banyan/kernel";
import type { FakeNode } from "@banyan/testkit";
import { afterEach, beforeEach, expect, it } from "vitest";
import { clusterOfFile, codeOf, eventually, startWorld, type World } from "./harness.ts";
import { type SchedulerProcess, spawnScheduler } from "./scheduler-process.ts";

const cluster = clusterOfFile();
let world: World;
let node: FakeNode;
let scheduler: SchedulerProcess;

beforeEach(async () => {
  world = await startWorld(cluster, { withoutScheduler: true });
  node = await world.addNode();
  scheduler = await spawnScheduler(world);
  await nodesAre(1);
});
afterEach(async () => {
  await scheduler.kill();
  await world.end();
});

const nodesAre = (count: number) => eventually(async () => expect((await world.bus.call(ListNodes, {})).nodes).toHaveLength(count));

/** Starts a create and kills the scheduler when the row is there and the node has not answered yet; the node then answers as given. */
async function killBetweenRowAndReply(id: string, reply: () => ReturnType<NonNullable<FakeNode["onStart"]>>): Promise<void> {
  const killed = Promise.withResolvers<void>();
  node.onStart = async () => {
    await killed.promise;
    return reply();
  };
  const creating = codeOf(world.create({ id, deadlineMs: 500 }));
  await eventually(async () => expect(await world.rowState(id)).toBe("starting"));
  await scheduler.kill();
  killed.resolve();
  node.onStart = null;
  expect(await creating).not.toBe("no error");
}

it("adopts a sandbox that started while nobody was there to hear of it", async () => {
  const id = newId("sbx");
  await killBetweenRowAndReply(id, async () => null);
  await eventually(() => expect(node.sandboxes.get(id)?.state).toBe("running"));
  scheduler = await spawnScheduler(world);
  const repeated = await world.create({ id });
  expect(repeated.sandbox).toMatchObject({ id, state: "running", epoch: 1, nodeId: node.nodeId });
  expect(node.orders.filter(({ sandboxId }) => sandboxId === id)).toHaveLength(1);
});

it("ends a create that the node refused while nobody was there to hear of it", async () => {
  const id = newId("sbx");
  await killBetweenRowAndReply(id, async () => ({ kind: "refused", reason: "no_slot", retryAfterMs: 100 }));
  scheduler = await spawnScheduler(world);
  await eventually(async () => expect(await world.rowState(id)).toBe("deleted"));
  expect(await codeOf(world.create({ id }))).toBe("sandbox.start_failed");
  expect((await world.list()).sandboxes).toEqual([]);
});

it("loses nothing and owns nothing twice when it is killed in a burst", async () => {
  await world.addNode();
  await nodesAre(2);
  const killed = Promise.withResolvers<void>();
  let starts = 0;
  // Half of the starts have been answered when it dies, the others are under way and come true after it.
  for (const one of world.nodes) {
    one.onStart = async () => {
      if (++starts > 75) await killed.promise;
      return null;
    };
  }
  const ids = Array.from({ length: 150 }, () => newId("sbx"));
  let answered = 0;
  const creating = ids.map(async (id) => {
    const code = await codeOf(world.create({ id, deadlineMs: 500 }));
    if (code === "no error") answered++;
    return code;
  });
  await eventually(() => answered === 75 && starts === 150);
  await scheduler.kill();
  killed.resolve();
  const codes = await Promise.all(creating);
  expect(codes.filter((code) => code === "no error")).toHaveLength(75);
  scheduler = await spawnScheduler(world);
  const rows = await eventually(async () => {
    const found = await world.sql<
      { id: string; state: string; node_id: string }[]
    >`select id, state, node_id from sandboxes where state <> 'deleted'`;
    expect(found.filter(({ state }) => state !== "running")).toEqual([]);
    const onNodes = world.nodes.flatMap(({ nodeId, sandboxes }) => [...sandboxes.keys()].map((id) => `${id} ${nodeId}`));
    expect(onNodes.toSorted()).toEqual(found.map(({ id, node_id }) => `${id} ${node_id}`).toSorted());
    return found;
  });
  const alive = new Set(rows.map(({ id }) => id));
  expect(ids.filter((id, i) => codes[i] === "no error" && !alive.has(id))).toEqual([]);
});

it("ends cleanly on SIGTERM and leaves the sandboxes running", async () => {
  const { sandbox } = await world.create();
  expect(await scheduler.end()).toBe(0);
  expect(node.sandboxes.get(sandbox.id)?.state).toBe("running");
  expect(await world.rowState(sandbox.id)).toBe("running");
});
