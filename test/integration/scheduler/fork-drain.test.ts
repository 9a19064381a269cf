import { CordonNode, DrainNode, ListNodes } from "@banyan/contracts";
import { type FakeNode, outcome } from "@banyan/testkit";
import { afterEach, beforeEach, expect, it } from "vitest";
import { childrenOf, command, ended, fork, getFork, sandboxStates } from "./fork-harness.ts";
import { clusterOfFile, eventually, startWorld, type World } from "./harness.ts";

const CHILDREN = 6;
const cluster = clusterOfFile();
let world: World;
let first: FakeNode;
let second: FakeNode;

beforeEach(async () => {
  world = await startWorld(cluster);
  [first, second] = [await world.addNode(), await world.addNode()];
  await eventually(async () => expect((await world.bus.call(ListNodes, {})).nodes).toHaveLength(2));
});
afterEach(() => world.end());

const drain = (mode: "move" | "stop") => world.bus.call(DrainNode, { nodeId: first.nodeId, mode });
const emptied = () =>
  eventually(async () => {
    expect(await drain("move")).toMatchObject({ left: 0, failed: [] });
    expect(first.sandboxes.size).toBe(0);
  });

/** All its children run their command on the first node, which is then the only one that is emptied. */
async function underWay(spec: Parameters<typeof fork>[1]): Promise<string> {
  await world.bus.call(CordonNode, { nodeId: second.nodeId, cordoned: true });
  first.forks.outcomeOf = () => "never";
  const { id } = await fork(world, { count: CHILDREN, command: command(), ...spec });
  await eventually(async () => expect((await getFork(world, id)).counts.running).toBe(CHILDREN));
  await world.bus.call(CordonNode, { nodeId: second.nodeId, cordoned: false });
  return id;
}

it("makes children elsewhere whose node is emptied under their command, as often as they may be lost", async () => {
  const id = await underWay({ after: "keep", retries: 1 });
  second.forks.outcomeOf = () => outcome(0);
  await drain("move");
  expect(await ended(world, id)).toMatchObject({ state: "done", counts: { succeeded: CHILDREN, lost: 0 } });
  for (const { attempts, nodeId, sandboxId } of await childrenOf(world, id)) {
    expect({ attempts, nodeId }).toEqual({ attempts: 2, nodeId: second.nodeId });
    expect(second.sandboxes.has(sandboxId ?? "")).toBe(true);
  }
  expect([...first.forks.ran, ...second.forks.ran]).toHaveLength(2 * CHILDREN);
  await emptied();
  await eventually(async () => expect(await sandboxStates(world, id)).toEqual({ running: CHILDREN, deleted: CHILDREN }));
});

it("says which children are lost that may not be made again, and puts them away without starting them", async () => {
  const id = await underWay({ after: "keep", retries: 0 });
  await drain("move");
  expect(await ended(world, id)).toMatchObject({ state: "done", counts: { lost: CHILDREN } });
  for (const { error, attempts } of await childrenOf(world, id))
    expect({ code: error?.code, attempts }).toEqual({ code: "node.drained", attempts: 1 });
  await emptied();
  expect(await sandboxStates(world, id)).toEqual({ stopped: CHILDREN });
  expect(second.orders).toEqual([]);
  expect(second.forks.ran).toEqual([]);
});

it("moves children that have no command, as any sandbox", async () => {
  await world.bus.call(CordonNode, { nodeId: second.nodeId, cordoned: true });
  const { id } = await fork(world, { count: CHILDREN });
  await ended(world, id);
  await world.bus.call(CordonNode, { nodeId: second.nodeId, cordoned: false });
  await drain("move");
  await emptied();
  await eventually(async () => expect(await sandboxStates(world, id)).toEqual({ running: CHILDREN }));
  expect(second.sandboxes.size).toBe(CHILDREN);
  expect((await getFork(world, id)).counts).toMatchObject({ running: CHILDREN, lost: 0 });
});
