import type { Served } from "@banyan/bus";
import { CordonNode, fault, GetLineage, ListNodes, NodeCompare, PromoteSandbox } from "@banyan/contracts";
import { newId } from "@banyan/kernel";
import type { FakeNode } from "@banyan/testkit";
import { afterEach, beforeEach, expect, it } from "vitest";
import { clusterOfFile, codeOf, eventually, startWorld, type World } from "./harness.ts";

const IMAGE_LAYER = { digest: `sha256:${"ab".repeat(32)}`, sizeBytes: 1_000 };
const cluster = clusterOfFile();
let world: World;
let home: FakeNode;
let away: FakeNode;
let comparing: Served;
/** What the parent's node says has changed; null: it does not keep the frozen layer any more. */
let changed: string[] | null;
/** The same, of one that has been stopped meanwhile. */
let changedLate: string[];

beforeEach(async () => {
  world = await startWorld(cluster);
  [home, away] = [await world.addNode(), await world.addNode()];
  changed = [];
  changedLate = [];
  comparing = world.bus.serve(NodeCompare.on(home.nodeId), async ({ sandboxId }) => {
    if (changed === null) throw fault("layer.unavailable", {});
    const seen = home.sandboxes.get(sandboxId)?.state === "stopped" ? [...changed, ...changedLate] : changed;
    return { changed: seen, count: seen.length };
  });
  await eventually(async () => expect((await world.bus.call(ListNodes, {})).nodes).toHaveLength(2));
});
afterEach(async () => {
  await comparing.stop();
  await world.end();
});

const promote = (id: string, force = false) => world.bus.call(PromoteSandbox, { orgId: world.orgId, id, force });
const lineage = (id: string, orgId = world.orgId) => world.bus.call(GetLineage, { orgId, id });
const layersOf = async (id: string) => {
  const [row] = await world.sql<{ layers: { digest: string }[] }[]>`select stack->'layers' as layers from sandboxes where id = ${id}`;
  return row?.layers.map(({ digest }) => digest);
};

async function createOn(node: FakeNode): Promise<string> {
  const other = node === home ? away : home;
  await world.bus.call(CordonNode, { nodeId: other.nodeId, cordoned: true });
  const { sandbox } = await world.create();
  await world.bus.call(CordonNode, { nodeId: other.nodeId, cordoned: false });
  return sandbox.id;
}

/** A parent at home and a child of it away, as a fork leaves them. */
async function family(): Promise<{ parent: string; child: string; forkId: string }> {
  const [parent, child] = [await createOn(home), await createOn(away)];
  const forkId = newId("frk");
  await childOf(parent, child, forkId);
  const layers = [IMAGE_LAYER, { digest: `frozen:${newId("frz")}`, sizeBytes: 0 }];
  await world.sql`
    insert into forks (id, org_id, parent_id, source, spec, each, quota, template, base, state, deletes_all, counts, rest_state, in_waves, version,
      write_id, event_seq, created_at, deadline_at)
    values (${forkId}, ${world.orgId}, ${parent}, '{}', '{}', '[]', '{}', '{}', ${JSON.stringify({ layers })}::text::jsonb, 'done', false,
      ${JSON.stringify(COUNTS)}::text::jsonb, 'waiting', false, 1, '', 0, 0, 0)`;
  return { parent, child, forkId };
}
const COUNTS = { total: 1, waiting: 0, starting: 0, running: 1, succeeded: 0, failed: 0, cancelled: 0, lost: 0 };

async function childOf(parentId: string | null, id: string, forkId = newId("frk")): Promise<void> {
  await world.sql`update sandboxes set origin = ${JSON.stringify({ forkId, index: 0, parentId })}::text::jsonb where id = ${id}`;
}

it("has a running parent go on from the child's files, next to them, under its own id", async () => {
  const { parent, child } = await family();
  expect(await promote(child)).toEqual({ parentId: parent, childId: child, state: "running", epoch: 2 });
  expect(await world.get(parent)).toMatchObject({ state: "running", nodeId: away.nodeId, epoch: 2 });
  expect(await world.get(child)).toMatchObject({ state: "running", epoch: 1 });
  const own = `sha256:${String(away.frozen).padStart(64, "0")}`;
  expect(await layersOf(parent)).toEqual([IMAGE_LAYER.digest, own]);
  expect(away.sandboxes.get(parent)?.order).toMatchObject({ fresh: true, epoch: 2 });
  await eventually(() => expect(home.sandboxes.has(parent), "its old disk is given up").toBe(false));
});

it("puts a stopped parent on the child's files without starting it, also those of a stopped and of an archived child", async () => {
  const { parent, child } = await family();
  await world.stopSandbox(parent);
  await world.stopSandbox(child);
  expect(await promote(child)).toEqual({ parentId: parent, childId: child, state: "stopped", epoch: 1 });
  expect(await world.get(parent)).toMatchObject({ state: "stopped", nodeId: null });
  await world.start(parent);
  expect(await world.get(parent)).toMatchObject({ state: "running", epoch: 2 });
});

it("is refused where the parent has changed or nobody can tell, and forced all the same", async () => {
  const { parent, child } = await family();
  changed = ["/workspace/new"];
  await expect(promote(child)).rejects.toMatchObject({ code: "fork.parent_changed", details: { changed, count: 1 } });
  changed = null;
  await expect(promote(child)).rejects.toMatchObject({ code: "fork.parent_changed", details: { changed: [], why: expect.any(String) } });
  expect(await world.get(parent)).toMatchObject({ state: "running", epoch: 1, nodeId: home.nodeId });
  expect(away.frozen, "nothing was frozen for it").toBe(0);
  expect(await promote(child, true)).toMatchObject({ state: "running", epoch: 2 });
  await expect(promote(child), "its files are others than at the fork").rejects.toMatchObject({ code: "fork.parent_changed" });
  expect((await lineage(child)).sandboxes[0]?.promotions).toMatchObject([{ childId: child, forced: true }]);
});

it("loses nothing that a parent writes between its comparison and its end: it goes on from its own files", async () => {
  const { parent, child } = await family();
  changedLate = ["/workspace/late"];
  await expect(promote(child)).rejects.toMatchObject({ code: "fork.parent_changed", details: { changed: changedLate, count: 1 } });
  await eventually(async () => expect(await world.get(parent)).toMatchObject({ state: "running", nodeId: home.nodeId, epoch: 2 }));
  expect(await layersOf(parent)).toEqual([IMAGE_LAYER.digest]);
  expect(home.sandboxes.get(parent)?.order).toMatchObject({ fresh: false });
  expect((await lineage(parent)).sandboxes[0]?.promotions).toEqual([]);
  changedLate = [];
  expect(await promote(child)).toMatchObject({ state: "running", epoch: 3 });
});

it("leaves the parent as it was when the child's files cannot be had", async () => {
  const { parent, child } = await family();
  away.onSnapshot = async () => {
    throw fault("snapshot.failed", {});
  };
  expect(await codeOf(promote(child))).toBe("snapshot.failed");
  expect(await world.get(parent)).toMatchObject({ state: "running", epoch: 1, nodeId: home.nodeId });
  expect((await lineage(parent)).sandboxes[0]?.promotions).toEqual([]);
});

it("is not undone by a start that finds no room: the parent goes on as soon as there is some", async () => {
  const { parent, child } = await family();
  for (const node of [home, away]) node.onStart = async () => ({ kind: "refused", reason: "capacity", retryAfterMs: 10 });
  expect(await promote(child)).toMatchObject({ state: "stopped" });
  expect(await world.get(parent)).toMatchObject({ state: "stopped", stateReason: "moving", nodeId: null });
  await world.stopScheduler();
  await world.startScheduler();
  for (const node of [home, away]) node.onStart = null;
  await eventually(async () => expect(await world.get(parent)).toMatchObject({ state: "running" }));
  expect(await layersOf(parent)).toHaveLength(2);
});

it("starts a parent again on its own files when everything ends between its stop and the switch", async () => {
  const { parent } = await family();
  // As a process that ended there leaves it; its row is written when it is read.
  await world.stopSandbox(parent);
  await world.get(parent);
  await world.sql`update sandboxes set state_reason = 'moving' where id = ${parent}`;
  await eventually(async () => expect(await world.get(parent)).toMatchObject({ state: "running", nodeId: home.nodeId, epoch: 2 }));
  expect(await layersOf(parent)).toEqual([IMAGE_LAYER.digest]);
});

it("is one promotion however often it is asked for at once", async () => {
  const { parent, child } = await family();
  const answers = await Promise.all(Array.from({ length: 4 }, () => promote(child)));
  for (const answer of answers) expect(answer).toEqual(answers[0]);
  expect((await lineage(parent)).sandboxes[0]?.promotions).toHaveLength(1);
});

it("is refused of what has no parent, of another's, and of what is under way", async () => {
  const { parent, child } = await family();
  expect(await codeOf(promote(parent))).toBe("fork.no_parent");
  expect(await codeOf(promote(newId("sbx")))).toBe("sandbox.not_found");
  const orphan = await createOn(away);
  await childOf(newId("sbx"), orphan);
  expect(await codeOf(promote(orphan))).toBe("fork.no_parent");
  await childOf(null, orphan);
  expect(await codeOf(promote(orphan))).toBe("fork.no_parent");
  await world.remove(parent);
  expect(await codeOf(promote(child))).toBe("fork.no_parent");
});

it("draws the whole tree of a sandbox from its root, with forks and promotions, to its own organisation alone", async () => {
  const { parent, child, forkId } = await family();
  const grandchild = await createOn(away);
  await childOf(child, grandchild);
  await promote(child);
  const tree = await lineage(grandchild);
  expect(tree).toMatchObject({ rootId: parent, truncated: false, forks: [{ forkId, parentId: parent, state: "done", counts: COUNTS }] });
  expect(tree.sandboxes.map(({ sandboxId, parentId, promotions }) => ({ sandboxId, parentId, promoted: promotions.length }))).toEqual([
    { sandboxId: parent, parentId: null, promoted: 1 },
    { sandboxId: child, parentId: parent, promoted: 0 },
    { sandboxId: grandchild, parentId: child, promoted: 0 },
  ]);
  await world.remove(child);
  expect((await lineage(grandchild)).sandboxes[1], "while its row is kept").toMatchObject({ sandboxId: child, state: "deleted" });
  expect(await codeOf(lineage(parent, newId("org")))).toBe("sandbox.not_found");
  expect(await codeOf(lineage(newId("sbx")))).toBe("sandbox.not_found");
});
