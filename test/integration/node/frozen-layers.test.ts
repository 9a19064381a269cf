import { readdirSync } from "node:fs";
import { join } from "node:path";
import { layerBlob, type StartOrder } from "@banyan/contracts";
import { newId } from "@banyan/kernel";
import { deleteSandbox, freezeSandbox, releaseFrozen, shipLayers, snapshotSandbox, stopSandbox, tidyFrozen } from "@banyan/runner-agent";
import { MemoryBlobs } from "@banyan/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { layerOf } from "./layer-of.ts";
import { start, stopOf, type TestNode, testNode } from "./test-node.ts";

let blobs: MemoryBlobs;
let node: TestNode;
beforeAll(async () => {
  blobs = new MemoryBlobs();
  node = await testNode({}, blobs);
});
afterAll(() => node.end());

const HOUR_MS = 3_600_000;

function freeze({ sandboxId, epoch }: StartOrder, changes: { frozenId?: string; keepUntil?: number } = {}) {
  return freezeSandbox(node.parts, { sandboxId, epoch, frozenId: newId("frz"), keepUntil: Date.now() + HOUR_MS, ...changes });
}

const frozenOnDisk = () => readdirSync(join(node.parts.disk.directory, "frozen")).sort();
const recordsOnDisk = () => readdirSync(join(node.parts.disk.directory, "frozen-records")).sort();

async function changed(): Promise<StartOrder> {
  const source = node.order();
  await start(node, source);
  await node.sh(source, "echo new > /etc/new; rm /etc/issue; mkdir -m 700 /data; echo one > /data/one");
  return source;
}

const LOOK = "cat /etc/new; test -e /etc/issue || echo deleted; stat -c %a /data; cat /data/one";
const SEEN = "new\ndeleted\n700\none\n";

describe("a frozen layer", () => {
  it("is what children stand on at once, while the source and they go their own ways", async () => {
    const source = await changed();
    const answer = await freeze(source);
    expect(answer).toMatchObject({ way: "copy", layer: { digest: expect.stringMatching(/^frozen:frz_/) } });
    expect(answer.pausedMs).toBeGreaterThan(0);
    await node.sh(source, "echo later > /data/one");
    const layers = [...source.layers, answer.layer];
    const [one, two] = [node.order({ layers }), node.order({ layers })];
    expect(await start(node, one)).toMatchObject({ path: "warm" });
    await start(node, two);
    await node.sh(one, "echo mine > /data/one");
    expect((await node.sh(two, LOOK)).out).toBe(SEEN);
    expect((await node.sh(one, "cat /data/one")).out).toBe("mine\n");
    const again = await freeze(one);
    const grandchild = node.order({ layers: [...layers, again.layer] });
    await start(node, grandchild);
    expect((await node.sh(grandchild, "cat /etc/new /data/one; test -e /etc/issue || echo deleted")).out).toBe("new\nmine\ndeleted\n");
  });

  it("can be made of a stopped sandbox, and is the same one when it is asked for again", async () => {
    const source = await changed();
    await stopSandbox(node.parts, stopOf(source));
    const frozenId = newId("frz");
    const [first, second] = await Promise.all([freeze(source, { frozenId }), freeze(source, { frozenId })]);
    expect(first).toMatchObject({ way: "stopped", pausedMs: 0 });
    expect(second).toEqual(first);
    await deleteSandbox(node.parts, source);
    expect(await freeze(source, { frozenId })).toEqual(first);
    const child = node.order({ layers: [...source.layers, first.layer] });
    await start(node, child);
    expect((await node.sh(child, LOOK)).out).toBe(SEEN);
    await expect(freeze(child, { frozenId })).rejects.toMatchObject({ code: "snapshot.failed" });
  });

  it("is refused for a run that is over and for a sandbox that is not here, and its absence is said to a start", async () => {
    const source = await changed();
    await expect(freeze({ ...source, epoch: 0 })).rejects.toMatchObject({ code: "sandbox.stale_epoch" });
    await expect(freeze(node.order())).rejects.toMatchObject({ code: "sandbox.not_found" });
    const lost = { digest: `frozen:${newId("frz")}`, sizeBytes: 0 };
    await expect(start(node, node.order({ layers: [...source.layers, lost] }))).rejects.toMatchObject({ code: "layer.unavailable" });
    await expect(shipLayers(node.parts, { layers: [lost] })).rejects.toMatchObject({ code: "layer.unavailable" });
  });

  it("stays while something stands on it, and goes when it is released or its time is over", async () => {
    const source = await changed();
    const before = frozenOnDisk();
    const [stoodOn, idle, past] = [newId("frz"), newId("frz"), newId("frz")];
    const { layer } = await freeze(source, { frozenId: stoodOn });
    await freeze(source, { frozenId: idle });
    await freeze(source, { frozenId: past, keepUntil: Date.now() - 1 });
    const child = node.order({ layers: [...source.layers, layer] });
    await start(node, child);
    expect(await tidyFrozen(node.parts)).toBe(1);
    await releaseFrozen(node.parts, { frozenIds: [stoodOn, idle, newId("frz")] });
    expect(frozenOnDisk()).toEqual([...before, stoodOn].sort());
    expect((await node.sh(child, LOOK)).out).toBe(SEEN);
    await stopSandbox(node.parts, stopOf(child));
    expect(await tidyFrozen(node.parts)).toBe(0);
    const again = { ...child, epoch: 2, fresh: false };
    await start(node, again);
    expect((await node.sh(again, LOOK)).out).toBe(SEEN);
    await deleteSandbox(node.parts, again);
    expect(await tidyFrozen(node.parts)).toBe(1);
    expect(frozenOnDisk()).toEqual(before);
    expect(recordsOnDisk()).toEqual(before.map((name) => `${name}.json`));
  });

  it("survives a restart of the node with the children on it, unlike what nobody kept", async () => {
    const source = await changed();
    const frozenId = newId("frz");
    const first = await freeze(source, { frozenId });
    const child = node.order({ layers: [...source.layers, first.layer] });
    await start(node, child);
    await node.parts.disk.driver.freeze(source.sandboxId, null);
    // As a process that was killed between the two writes would leave it.
    (await node.parts.disk.driver.freeze(source.sandboxId, null)).keepAs(newId("frz"));
    const before = recordsOnDisk();
    await node.stop("keep");
    node = await testNode(node.config, blobs);
    expect(recordsOnDisk()).toEqual(before);
    expect(frozenOnDisk()).toEqual(before.map((name) => name.replace(".json", "")));
    expect((await node.sh(child, LOOK)).out).toBe(SEEN);
    expect(await freeze(source, { frozenId })).toEqual(first);
    const late = node.order({ layers: [...source.layers, first.layer] });
    await start(node, late);
    expect((await node.sh(late, LOOK)).out).toBe(SEEN);
  });
});

describe("shipping a stack", () => {
  it("packs a frozen layer once, however many ask, over a restart too, and again when the store has lost it", async () => {
    const source = await changed();
    const { layer } = await freeze(source);
    const layers = [...source.layers, layer];
    const puts = blobs.contents.size;
    const [one, two] = await Promise.all([shipLayers(node.parts, { layers }), shipLayers(node.parts, { layers })]);
    expect(one).toEqual(two);
    expect(one.layers.slice(0, -1)).toEqual(source.layers);
    const digest = one.layers.at(-1)?.digest ?? "";
    expect(digest).toMatch(/^sha256:/);
    expect(blobs.contents.size).toBe(puts + 1);
    await node.stop("keep");
    node = await testNode(node.config, blobs);
    const spooled: unknown[] = [];
    const put = blobs.put.bind(blobs);
    blobs.put = (name, content) => {
      spooled.push(name);
      return put(name, content);
    };
    try {
      expect(await shipLayers(node.parts, { layers })).toEqual(one);
      expect(spooled).toEqual([]);
      blobs.contents.delete(layerBlob(digest));
      expect(await shipLayers(node.parts, { layers })).toEqual(one);
      expect(spooled).toEqual([layerBlob(digest)]);
    } finally {
      blobs.put = put;
    }
    // Also of a stack that has no frozen layer any more.
    blobs.contents.delete(layerBlob(digest));
    expect(await shipLayers(node.parts, { layers: one.layers })).toEqual({ layers: one.layers, skipped: [] });
    const lost = { digest: `sha256:${"0".repeat(64)}`, sizeBytes: 1 };
    await expect(shipLayers(node.parts, { layers: [lost] })).rejects.toMatchObject({ code: "layer.unavailable" });
    const other = await testNode({}, blobs);
    try {
      const remote = other.order({ layers: one.layers });
      await start(other, remote);
      expect((await other.sh(remote, LOOK)).out).toBe(SEEN);
    } finally {
      await other.end();
    }
  });

  it("makes one layer of a deep stack, and a snapshot of a child answers digests alone", async () => {
    const source = await changed();
    const { layer } = await freeze(source);
    const child = node.order({ layers: [...source.layers, layer] });
    await start(node, child);
    await node.sh(child, "echo child > /data/child");
    const snapshot = await snapshotSandbox(node.parts, child);
    expect(snapshot.layers).toHaveLength(3);
    for (const { digest } of snapshot.layers) expect(digest).toMatch(/^sha256:/);
    const more = Array.from({ length: 79 }, (_, at) => layerOf(blobs, `layer-${at}`));
    const deep = [...source.layers, ...more, layer];
    await node.parts.layers.ensure(deep);
    const shipped = await shipLayers(node.parts, { layers: deep });
    expect(shipped.layers).toHaveLength(1);
    const flat = node.order({ layers: shipped.layers });
    await start(node, flat);
    expect((await node.sh(flat, `${LOOK}; cat /layer-78`)).out).toBe(`${SEEN}this is layer-78`);
  });
});

it("works alike on a disk of plain directories", async () => {
  const plain = await testNode({ disk: "plain" }, blobs);
  try {
    const source = plain.order();
    await start(plain, source);
    await plain.sh(source, "echo new > /etc/new; rm /etc/issue; mkdir -m 700 /data; echo one > /data/one");
    const frozenId = newId("frz");
    const { sandboxId, epoch } = source;
    const { layer } = await freezeSandbox(plain.parts, { sandboxId, epoch, frozenId, keepUntil: Date.now() + HOUR_MS });
    const child = plain.order({ layers: [...source.layers, layer] });
    await start(plain, child);
    expect((await plain.sh(child, LOOK)).out).toBe(SEEN);
    expect((await shipLayers(plain.parts, { layers: [layer] })).layers).toHaveLength(1);
    await deleteSandbox(plain.parts, child);
    await releaseFrozen(plain.parts, { frozenIds: [frozenId] });
    expect(readdirSync(join(plain.parts.disk.directory, "frozen"))).toEqual([]);
  } finally {
    await plain.end();
  }
});
