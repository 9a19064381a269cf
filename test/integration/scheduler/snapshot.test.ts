import type { Served } from "@banyan/bus";
import { fault, type InputOf, ListLayerUsers, type OutputOf, RegisterImage, SnapshotSandbox } from "@banyan/contracts";
import { newId } from "@banyan/kernel";
import { eventually, type FakeNode } from "@banyan/testkit";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type Cluster, codeOf, readyNodes, startCluster, startWorld, type World } from "./harness.ts";

let cluster: Cluster;
let world: World;
let node: FakeNode;
let served: Served;
let registered: InputOf<typeof RegisterImage>[];
/** What the next registrations are refused with. */
let refusals: Error[];

beforeAll(async () => {
  cluster = await startCluster();
  world = await startWorld(cluster);
  [node] = (await readyNodes(world, 1)) as [FakeNode];
  served = world.bus.serve(RegisterImage, async (input) => {
    const refusal = refusals.shift();
    if (refusal !== undefined) throw refusal;
    registered.push(input);
    return { image: imageOf(input) };
  });
  await world.bus.flush();
});
beforeEach(() => {
  registered = [];
  refusals = [];
});
afterAll(async () => {
  await served.stop();
  await world.end();
  await cluster.stop();
});

function imageOf({
  imageId,
  orgId,
  name,
  layers,
  config,
  sandboxId,
}: InputOf<typeof RegisterImage>): OutputOf<typeof RegisterImage>["image"] {
  const names = name === null ? [] : [name];
  const rest = { base: null, history: [], error: null, createdAt: 0, lastUsedAt: 0 };
  return { id: imageId, orgId, names, kind: "snapshot", state: "ready", layers, config, origin: sandboxId, ...rest };
}

const snapshot = (id: string, changes: Partial<InputOf<typeof SnapshotSandbox>> = {}) =>
  world.bus.call(SnapshotSandbox, { orgId: world.orgId, id, imageId: newId("img"), name: null, ...changes });

describe("a snapshot", () => {
  it("is registered with the sandbox's whole stack and its image's config, not the sandbox's own environment", async () => {
    const { sandbox } = await world.create({ spec: { env: { SECRET: "of this one" } } });
    const answer = await snapshot(sandbox.id, { name: "mine:1" });
    expect(answer).toMatchObject({ way: "copy", pausedMs: 1.5, skipped: [], image: { kind: "snapshot", names: ["mine:1"] } });
    expect(registered).toHaveLength(1);
    expect(registered[0]).toMatchObject({ sandboxId: sandbox.id, config: { env: { FROM_IMAGE: "yes" } } });
    expect(JSON.stringify(registered)).not.toContain("of this one");
    expect(registered[0]?.layers).toHaveLength(2);
    expect((await world.get(sandbox.id)).state).toBe("running");
  });

  it("of a stopped sandbox leaves it stopped", async () => {
    const { sandbox } = await world.create();
    await world.stopSandbox(sandbox.id);
    expect(await snapshot(sandbox.id)).toMatchObject({ way: "stopped", pausedMs: 0 });
    expect((await world.get(sandbox.id)).state).toBe("stopped");
  });

  it("that is asked for again answers like the first, at once, later and after a restart, and freezes once", async () => {
    const { sandbox } = await world.create();
    const imageId = newId("img");
    const before = node.frozen;
    const answers = await Promise.all(Array.from({ length: 10 }, () => snapshot(sandbox.id, { imageId })));
    answers.push(await snapshot(sandbox.id, { imageId }));
    await world.stopScheduler();
    await world.startScheduler();
    answers.push(await snapshot(sandbox.id, { imageId }));
    for (const answer of answers) expect(answer).toEqual(answers[0]);
    expect(node.frozen).toBe(before + 1);
  });

  it("goes on with what the node made when only its registration failed", async () => {
    const { sandbox } = await world.create();
    const imageId = newId("img");
    const before = node.frozen;
    refusals = [fault("request.invalid", {})];
    expect(await codeOf(snapshot(sandbox.id, { imageId }))).toBe("request.invalid");
    expect(await snapshot(sandbox.id, { imageId })).toMatchObject({ way: "copy", image: { id: imageId } });
    expect(node.frozen).toBe(before + 1);
  });

  it("is made anew when its layers were not kept until the repeat", async () => {
    const { sandbox } = await world.create();
    const imageId = newId("img");
    const before = node.frozen;
    refusals = [fault("layer.unavailable", {})];
    expect(await codeOf(snapshot(sandbox.id, { imageId }))).toBe("layer.unavailable");
    await snapshot(sandbox.id, { imageId });
    expect(node.frozen).toBe(before + 2);
  });

  it("is refused clearly: unknown, another's, deleted, an id used for another, a run that is over, a node that is away", async () => {
    const { sandbox } = await world.create();
    expect(await codeOf(snapshot(newId("sbx")))).toBe("sandbox.not_found");
    expect(await codeOf(snapshot(sandbox.id, { orgId: newId("org") }))).toBe("sandbox.not_found");
    const imageId = newId("img");
    await snapshot(sandbox.id, { imageId });
    const { sandbox: other } = await world.create();
    expect(await codeOf(snapshot(other.id, { imageId }))).toBe("request.invalid");
    const held = node.sandboxes.get(other.id);
    if (held === undefined) throw new Error("it runs there");
    held.epoch++;
    expect(await codeOf(snapshot(other.id))).toBe("sandbox.version_conflict");
    held.epoch--;
    await world.remove(other.id);
    expect(await codeOf(snapshot(other.id))).toBe("sandbox.not_found");
    await node.vanish();
    expect(await codeOf(snapshot(sandbox.id))).toBe("node.unreachable");
    await node.comeBack();
  });
});

describe("the users of layers", () => {
  const digest = `sha256:${"ab".repeat(32)}`;
  const unused = `sha256:${"00".repeat(32)}`;
  const users = (imageId: string | null, digests: string[]) => world.bus.call(ListLayerUsers, { imageId, digests });

  it("are the sandboxes that stand on them, running or stopped, until they are deleted", async () => {
    const before = (await users(null, [digest, unused])).count;
    const { sandbox } = await world.create();
    await world.stopSandbox(sandbox.id);
    const after = await users(null, [digest, unused]);
    expect(after.count).toBe(before + 1);
    expect(after.sandboxIds).toContain(sandbox.id);
    expect(after.usedDigests).toEqual([digest]);
    await world.remove(sandbox.id);
    await eventually(async () => expect((await users(null, [digest])).sandboxIds).not.toContain(sandbox.id));
  });

  it("are nobody where nothing is asked for or nothing is used", async () => {
    expect(await users(null, [])).toEqual({ sandboxIds: [], count: 0, usedDigests: [] });
    expect(await users(newId("img"), [unused])).toEqual({ sandboxIds: [], count: 0, usedDigests: [] });
  });

  it("are found by the image, too", async () => {
    const { sandbox } = await world.create();
    const [row] = await world.sql<{ imageId: string }[]>`select stack->>'imageId' as "imageId" from sandboxes where id = ${sandbox.id}`;
    expect((await users(row?.imageId ?? "", [])).sandboxIds).toContain(sandbox.id);
  });
});
