import { readdirSync } from "node:fs";
import type { Readable } from "node:stream";
import { fault } from "@banyan/contracts";
import { shipLayers } from "@banyan/runner-agent";
import { MemoryBlobs } from "@banyan/testkit";
import { afterAll, beforeAll, expect, it } from "vitest";
import { forkPoint, manyOrder, startChildren } from "./fork-harness.ts";
import { type TestNode, testNode } from "./test-node.ts";

/** Takes some of a blob and then says that there is no room, as a store on a full disk does. */
class FullBlobs extends MemoryBlobs {
  isFull = true;

  override async put(name: string, content: Readable) {
    if (!this.isFull) return super.put(name, content);
    for await (const _ of content) break;
    throw fault("bus.unavailable", { name }, { message: "insufficient storage" });
  }
}

let blobs: FullBlobs;
let node: TestNode;
beforeAll(async () => {
  blobs = new FullBlobs();
  node = await testNode({}, blobs);
});
afterAll(() => node?.end());

it("keeps a fork going where its files are when the blob store is full, and ships them when there is room", async () => {
  const { layers, source } = await forkPoint(node, "head -c 3000000 /dev/urandom > /data");
  const before = blobs.contents.size;
  await expect(shipLayers(node.parts, { layers })).rejects.toMatchObject({
    code: "snapshot.failed",
    details: { reason: "insufficient storage" },
  });
  expect(blobs.contents.size).toBe(before);
  expect(readdirSync(node.parts.spoolDirectory), "nothing half-made stays").toEqual([]);

  const order = manyOrder(node, 2, { layers });
  expect((await startChildren(node, order)).map(({ kind }) => kind)).toEqual(["started", "started"]);
  expect((await node.sh(source, "stat -c %s /data")).out).toBe("3000000\n");

  blobs.isFull = false;
  const { layers: shipped } = await shipLayers(node.parts, { layers });
  expect(shipped.map(({ digest }) => digest.slice(0, 7))).toEqual(shipped.map(() => "sha256:"));
  expect(blobs.contents.size).toBe(before + 1);
});
