import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { MountOrder, StartOrder } from "@banyan/contracts";
import { newId } from "@banyan/kernel";
import { deleteSandbox, shipLayers, snapshotSandbox } from "@banyan/runner-agent";
import { contentPath, makeStore } from "@banyan/runtime";
import { MemoryBlobs } from "@banyan/testkit";
import { afterAll, beforeAll, expect, it } from "vitest";
import { forkPoint } from "./fork-harness.ts";
import { start, type TestNode, testNode } from "./test-node.ts";

const TEST_MS = 120_000;
const blobs = new MemoryBlobs();
const root = mkdtempSync("/var/tmp/bny-store-");
let node: TestNode;
let mounts: MountOrder[];
let content: string;

beforeAll(async () => {
  const store = (await makeStore(root)).id;
  const volumeId = newId("vol");
  content = contentPath(root, volumeId);
  mkdirSync(join(content, "sub"), { recursive: true });
  for (const name of ["file", "gone", "sub/inner"]) writeFileSync(join(content, name), "of the volume\n");
  mounts = [{ path: "/data", subpath: "", mode: "cow", source: { kind: "directory", store, volumeId, versionId: null } }];
  node = await testNode({ volumeDir: root }, blobs);
}, TEST_MS);
afterAll(async () => {
  await node?.end();
  rmSync(root, { recursive: true, force: true });
}, TEST_MS);

const CHANGE = "echo parent > /data/parent; rm /data/gone; rm -r /data/sub; mkdir /data/sub; echo new > /data/sub/new";
const LOOK = "cd /data; find . | sort; cat parent file sub/new";
const SEEN = ".\n./file\n./parent\n./sub\n./sub/new\nparent\nof the volume\nnew\n";

async function changed() {
  const source = node.order({ mounts });
  await start(node, source);
  return forkPoint(node, CHANGE, source);
}

async function seenOn(on: TestNode, layers: StartOrder["layers"]): Promise<string> {
  const order = on.order({ layers, mounts });
  await start(on, order);
  const { out } = await on.sh(order, LOOK);
  await deleteSandbox(on.parts, order);
  return out;
}

it(
  "carries what was changed in a `cow` to children and grandchildren, on this node and on another, and into a snapshot",
  async () => {
    const { layers, source } = await changed();
    expect(await seenOn(node, layers)).toBe(SEEN);
    const child = node.order({ layers, mounts });
    await start(node, child);
    const second = await forkPoint(node, "echo child >> /data/parent; rm /data/sub/new", child);
    const grandchild = node.order({ layers: second.layers, mounts });
    await start(node, grandchild);
    expect((await node.sh(grandchild, "cat /data/parent; ls -A /data /data/sub")).out).toBe(
      "parent\nchild\n/data:\nfile\nparent\nsub\n\n/data/sub:\n",
    );
    expect((await node.sh(source, LOOK)).out).toBe(SEEN);
    const shipped = await shipLayers(node.parts, { layers });
    const snapshot = await snapshotSandbox(node.parts, source);
    const other = await testNode({ volumeDir: root }, blobs);
    try {
      expect(await seenOn(other, shipped.layers)).toBe(SEEN);
      expect(await seenOn(other, snapshot.layers)).toBe(SEEN);
    } finally {
      await other.end();
    }
    expect(readdirSync(content).sort()).toEqual(["file", "gone", "sub"]);
  },
  TEST_MS,
);
