import { DeleteSandbox, GetSandbox, RouteSandbox } from "@banyan/contracts";
import { newId } from "@banyan/kernel";
import type { FakeNode } from "@banyan/testkit";
import { afterEach, beforeEach, expect, it } from "vitest";
import { childrenOf, command, ended, fork, getFork, sandboxStates } from "./fork-harness.ts";
import { clusterOfFile, codeOf, eventually, readyNodes, startWorld, type World } from "./harness.ts";

const cluster = clusterOfFile();
let world: World;
let node: FakeNode;

beforeEach(async () => {
  world = await startWorld(cluster);
  const [first] = await readyNodes(world, 1);
  if (!first) throw new Error("no node");
  node = first;
});
afterEach(() => world.end());

/** A fork whose node does not answer to its start before the gate is open. */
async function starting(count: number, spec: Parameters<typeof fork>[1] = {}): Promise<{ id: string; ids: string[]; open(): void }> {
  const gate = Promise.withResolvers<void>();
  node.forks.onBatch = async () => {
    await gate.promise;
    return null;
  };
  const { id } = await fork(world, { count, ...spec });
  await eventually(async () => expect((await getFork(world, id)).counts.starting).toBe(count));
  const ids = (await childrenOf(world, id)).map(({ sandboxId }) => sandboxId ?? "");
  return { id, ids, open: gate.resolve };
}

it("knows a child from the moment on in which it is named: as starting, then as running, and never as not found", async () => {
  const { id, ids, open } = await starting(100, { name: "try", env: { ME: "{index}" }, labels: { of: "child" } });
  const first = await world.get(ids[0] ?? "");
  expect(first).toMatchObject({ state: "starting", nodeId: node.nodeId, epoch: 1, origin: { forkId: id, index: 0 } });
  expect(first.spec).toMatchObject({
    name: "try-0",
    labels: { of: "child" },
    env: { ME: "0", BANYAN_FORK_INDEX: "0", BANYAN_FORK_ID: id },
  });
  const untilItRuns = async (sandboxId: string): Promise<string[]> => {
    const seen = new Set<string>();
    while (!seen.has("running")) seen.add((await world.get(sandboxId)).state);
    return [...seen];
  };
  const looks = Promise.all(ids.map(untilItRuns));
  open();
  for (const seen of await looks) expect(["starting,running", "running"]).toContain(String(seen));
  const { createdAt: _before, ...spec } = { ...(await world.get(ids[0] ?? "")) };
  expect(spec).toMatchObject({ spec: first.spec, origin: first.origin, nodeId: first.nodeId, state: "running" });
});

it("waits for the row of a child that has just started, instead of not finding it", async () => {
  const { id, ids, open } = await starting(1);
  const look = await world.sql.begin(async (sql) => {
    await sql`select id from forks where id = ${id} for update`;
    open();
    await eventually(async () => {
      const held = await world.sql`select pid from pg_stat_activity where wait_event_type = 'Lock' and query like '%with fenced as%'`;
      expect(held).toHaveLength(1);
    });
    const looking = world.get(ids[0] ?? "");
    looking.catch(() => {});
    // Whoever asks for what there is not, of another organisation, is answered at once; so it would be, had it not waited.
    const stranger = { orgId: newId("org"), id: newId("sbx") };
    for (let i = 0; i < 3; i++) expect(await codeOf(world.bus.call(GetSandbox, stranger))).toBe("sandbox.not_found");
    return { looking };
  });
  expect(await look.looking).toMatchObject({ state: "running", version: 1 });
});

it("tells another organisation nothing of it, and everybody that nothing can be done in it yet", async () => {
  const { ids, open } = await starting(1);
  const ref = { orgId: newId("org"), id: ids[0] ?? "" };
  for (const verb of [GetSandbox, RouteSandbox, DeleteSandbox]) expect(await codeOf(world.bus.call(verb, ref))).toBe("sandbox.not_found");
  expect(await codeOf(world.bus.call(RouteSandbox, { ...ref, orgId: world.orgId }))).toBe("sandbox.not_running");
  expect(await codeOf(world.stopSandbox(ref.id))).toBe("sandbox.illegal_transition");
  expect(await codeOf(world.get(newId("sbx")))).toBe("sandbox.not_found");
  open();
});

it("deletes a child that starts: it is cancelled, and nothing of it runs", async () => {
  const { id, ids, open } = await starting(3, { command: command(), after: "keep" });
  expect(await world.remove(ids[1] ?? "")).toEqual({ state: "deleting" });
  expect((await getFork(world, id)).counts).toMatchObject({ starting: 2, cancelled: 1 });
  await eventually(() => expect(node.deleted.has(ids[1] ?? "")).toBe(true));
  open();
  expect(await ended(world, id)).toMatchObject({ state: "done", counts: { succeeded: 2, cancelled: 1 } });
  expect((await childrenOf(world, id))[1]).toMatchObject({ state: "cancelled", error: { code: "sandbox.deleted" } });
  expect(node.forks.ran).not.toContain(ids[1]);
  expect([...node.sandboxes.keys()].toSorted()).toEqual([ids[0], ids[2]].toSorted());
  expect(await sandboxStates(world, id)).toEqual({ running: 2 });
});
