import type { Readable } from "node:stream";
import type { LayerRef } from "@banyan/contracts";
import { deleteSandbox, stopSandbox, tidyLayers } from "@banyan/runner-agent";
import { MemoryBlobs } from "@banyan/testkit";
import { afterAll, beforeAll, expect, it } from "vitest";
import { layerOf } from "./layer-of.ts";
import { start, stopOf, type TestNode, testNode } from "./test-node.ts";

class CountingBlobs extends MemoryBlobs {
  reads = 0;

  override async get(name: string): Promise<Readable | null> {
    this.reads++;
    return super.get(name);
  }
}

let blobs: CountingBlobs;
let node: TestNode;
beforeAll(async () => {
  blobs = new CountingBlobs();
  node = await testNode({ pool: { target: 4, parallel: 2, perS: 50, slotsMax: 100, quietMs: 0 } }, blobs);
  // The base stays: only what the tests add is removed.
  await start(node, node.order());
});
afterAll(() => node.end());

const AT_ONCE = { ageS: 0, diskShare: 1 };

const over = (...layers: LayerRef[]) => {
  const order = node.order();
  return { ...order, layers: [...order.layers, ...layers] };
};
const remove = ({ sandboxId, epoch }: { sandboxId: string; epoch: number }) => deleteSandbox(node.parts, { sandboxId, epoch });

it("gives up a layer when the last sandbox that stands on it is deleted, stopped ones included", async () => {
  const layer = layerOf(blobs, "of-two");
  const [first, second] = [over(layer), over(layer)];
  await start(node, first);
  await start(node, second);
  await remove(first);
  await stopSandbox(node.parts, stopOf(second));
  await node.parts.clock.sleep(5);
  await tidyLayers(node.parts, AT_ONCE);
  expect(node.parts.layers.has(layer.digest)).toBe(true);
  const again = { ...second, epoch: 2, fresh: false };
  await start(node, again);
  expect((await node.sh(again, "cat /of-two")).out).toBe("this is of-two");
  await remove(again);
  await node.parts.clock.sleep(5);
  await tidyLayers(node.parts, AT_ONCE);
  expect(node.parts.layers.has(layer.digest)).toBe(false);
});

it("keeps what is young, and knows after a restart what stopped sandboxes stand on", async () => {
  const [used, unused] = [layerOf(blobs, "kept-by-stopped"), layerOf(blobs, "young")];
  const order = over(used);
  await start(node, order);
  await stopSandbox(node.parts, stopOf(order));
  await node.parts.layers.ensure([unused]);
  await tidyLayers(node.parts, { ageS: 3_600, diskShare: 1 });
  expect(node.parts.layers.hasAll([used, unused])).toBe(true);
  await node.stop("keep");
  node = await testNode(node.config, blobs);
  await node.parts.clock.sleep(5);
  await tidyLayers(node.parts, AT_ONCE);
  expect([node.parts.layers.has(used.digest), node.parts.layers.has(unused.digest)]).toEqual([true, false]);
  await remove(order);
});

it("never takes a layer from a create, however many creates and removals there are at once", async () => {
  const layers = ["one", "two", "three", "four", "five", "six"].map((name) => ({ name, layer: layerOf(blobs, name) }));
  const reads = blobs.reads;
  const endsAt = performance.now() + 4_000;
  let creates = 0;
  let isOver = false;
  const create = async (lane: number) => {
    for (let turn = lane; performance.now() < endsAt; turn++) {
      const chosen = [layers[turn % 6], layers[(turn + 1) % 6]].flatMap((each) => (each === undefined ? [] : [each]));
      const order = over(...chosen.map(({ layer }) => layer));
      await start(node, order);
      const names = chosen.map(({ name }) => name);
      expect((await node.sh(order, `cat ${names.map((name) => `/${name}`).join(" ")}`)).out).toBe(
        names.map((name) => `this is ${name}`).join(""),
      );
      await remove(order);
      creates++;
    }
  };
  const tidy = async () => {
    while (!isOver) {
      await tidyLayers(node.parts, AT_ONCE);
      await node.parts.clock.sleep(1);
    }
  };
  const tidying = tidy();
  try {
    await Promise.all([0, 1].map(create));
  } finally {
    isOver = true;
    await tidying;
  }
  expect(creates).toBeGreaterThan(5);
  // They were removed and fetched again meanwhile: else this would have proved nothing.
  expect(blobs.reads - reads).toBeGreaterThan(3);
});
