import { type ForkEnded, ForkEnded as ForkEndedEvent, GetSandbox, type InputOf, RunFork } from "@banyan/contracts";
import { newId } from "@banyan/kernel";
import { outcome } from "@banyan/testkit";
import { afterEach, beforeEach, expect, it } from "vitest";
import { childrenOf, command, ended, eventsOf, fork, getFork, heldBy, orderOf, sandboxStates } from "./fork-harness.ts";
import { clusterOfFile, codeOf, eventually, readyNodes, startWorld, type World } from "./harness.ts";

const cluster = clusterOfFile();
let world: World;

beforeEach(async () => {
  world = await startWorld(cluster);
});
afterEach(() => world.end());

it("makes every child of an image once, and says so", async () => {
  await readyNodes(world, 2);
  const { id, state, freeze, includes } = await fork(world, { count: 5, name: "try", env: { N: "{index} of {count}", SAME: "yes" } });
  expect({ state, freeze, includes }).toEqual({
    state: expect.stringMatching(/running|ending|done/),
    freeze: { way: "none", pausedMs: 0, skipped: [] },
    includes: ["files"],
  });
  const done = await ended(world, id);
  expect(done).toMatchObject({ state: "done", inWaves: false, counts: { total: 5, running: 5, waiting: 0, starting: 0 } });
  const children = await childrenOf(world, id);
  expect(children.map(({ index, state: itsOwn, attempts }) => ({ index, state: itsOwn, attempts }))).toEqual(
    Array.from({ length: 5 }, (_, index) => ({ index, state: "running", attempts: 1 })),
  );
  expect(new Set(heldBy(world).keys())).toEqual(new Set(children.map(({ sandboxId }) => sandboxId)));
  const { sandbox } = await world.bus.call(GetSandbox, { orgId: world.orgId, id: children[3]?.sandboxId ?? "" });
  expect(sandbox).toMatchObject({
    state: "running",
    origin: { forkId: id, index: 3, parentId: null },
    spec: {
      name: "try-3",
      env: { N: "3 of 5", SAME: "yes", BANYAN_FORK_ID: id, BANYAN_FORK_INDEX: "3", BANYAN_FORK_COUNT: "5" },
    },
  });
  const events = await eventsOf(world, id);
  expect(events.map(({ seq }) => seq)).toEqual(events.map((_, at) => at + 1));
  expect(events.flatMap(({ event }) => (event.kind === "state" ? [event.state] : []))).toEqual(["preparing", "running", "ending", "done"]);
  const told = events.flatMap(({ event }) => (event.kind === "children" ? event.children : []));
  expect(told.map(({ index }) => index).toSorted((a, b) => a - b)).toEqual([0, 1, 2, 3, 4]);
});

it("runs a command in each, and keeps how it ended", async () => {
  const nodes = await readyNodes(world, 3);
  for (const node of nodes) node.forks.outcomeOf = ({ index }) => outcome(index % 2, `out ${index}\0`);
  const { id } = await fork(world, { count: 20, command: command(), after: "stop", spread: "spread" });
  expect(await ended(world, id)).toMatchObject({ state: "done", counts: { succeeded: 10, failed: 10, running: 0 } });
  const children = await childrenOf(world, id);
  expect(children[4]).toMatchObject({ state: "succeeded", outcome: { exitCode: 0, stdout: "out 4\ufffd", changes: { added: 1 } } });
  expect(await sandboxStates(world, id)).toEqual({ stopped: 20 });
  expect(nodes.map(({ sandboxes }) => sandboxes.size).toSorted()).toEqual([6, 7, 7]);
  expect(await childrenOf(world, id, ["failed"])).toHaveLength(10);
});

it("lists children with large outputs in pages that a message can hold", async () => {
  const [node] = await readyNodes(world, 1);
  if (!node) throw new Error("no node");
  node.forks.outcomeOf = () => outcome(0, "\u0001\n".repeat(30_000));
  const { id } = await fork(world, { count: 30, command: command(), after: "delete" });
  await ended(world, id);
  const children = await childrenOf(world, id);
  expect(children.map(({ index }) => index)).toEqual(Array.from({ length: 30 }, (_, index) => index));
  expect(children.every((child) => child.outcome?.stdout.length === 60_000)).toBe(true);
});

it("is one fork however often it is ordered, by call or by job", async () => {
  await readyNodes(world, 1);
  const order = orderOf(world, { count: 4, command: command(), after: "delete" });
  const says: InputOf<typeof ForkEnded>[] = [];
  const listening = world.bus.onEvents(ForkEndedEvent, { durable: `test-${newId("req")}` }, async (said) => {
    if (said.forkId === order.forkId) says.push(said);
  });
  await Promise.all([1, 2, 3].map(() => world.bus.publishJob(RunFork, order)));
  await eventually(async () => expect((await getFork(world, order.forkId)).state).toBe("done"));
  await fork(world, order.spec, { forkId: order.forkId });
  await world.bus.publishJob(RunFork, order);
  await eventually(() => expect(says).toMatchObject([{ state: "done", counts: { total: 4, succeeded: 4 } }]));
  expect(world.nodes[0]?.forks.ran).toHaveLength(4);
  expect(heldBy(world).size).toBe(0);
  await listening.stop();
});

it("refuses what cannot be made, by name", async () => {
  await readyNodes(world, 1);
  const refusal = async (spec: Parameters<typeof fork>[1], options?: Parameters<typeof fork>[2]) => codeOf(fork(world, spec, options));
  expect(await refusal({ count: 0 })).toBe("request.invalid");
  expect(await refusal({ count: 1e9 })).toBe("request.invalid");
  expect(await refusal({ count: 2, each: [{}] })).toBe("request.invalid");
  expect(await refusal({ env: { A: "1" }, envCycle: { A: ["1", "2"] } })).toBe("request.invalid");
  expect(await refusal({ count: 1, env: { A: "1" }, each: [{ env: { A: "2" } }] })).toBe("request.invalid");
  expect(await refusal({ env: { BANYAN_FORK_ID: "mine" } })).toBe("request.invalid");
  expect(await refusal({}, { source: { kind: "image", image: "missing" } })).toBe("image.not_found");
  expect(await refusal({}, { source: { kind: "sandbox", sandboxId: newId("sbx") } })).toBe("sandbox.not_found");
  expect(await refusal({}, { quota: { sandboxes: 0, cpu: 10, memoryMb: 10_000 } })).toBe("sandbox.quota_exceeded");
  const taken = await fork(world, { count: 1 });
  expect(await refusal({ count: 1 }, { forkId: taken.id, orgId: newId("org") })).toBe("request.invalid");
  expect(await codeOf(getFork(world, taken.id, newId("org")))).toBe("fork.not_found");
});

it("tells by an event that an ordered fork was refused", async () => {
  const order = orderOf(world, { count: 2, env: { BANYAN_X: "1" } });
  const says: InputOf<typeof ForkEnded>[] = [];
  const listening = world.bus.onEvents(ForkEndedEvent, { durable: `test-${newId("req")}` }, async (said) => {
    if (said.forkId === order.forkId) says.push(said);
  });
  await world.bus.publishJob(RunFork, order);
  await eventually(() => expect(says).toMatchObject([{ state: "failed", reason: "request.invalid", counts: { total: 2, cancelled: 2 } }]));
  await listening.stop();
});
