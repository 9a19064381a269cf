import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { MountOrder, StackLayer } from "@banyan/contracts";
import { newId } from "@banyan/kernel";
import { compareSandbox, deleteSandbox, freezeSandbox, shipLayers, snapshotSandbox } from "@banyan/runner-agent";
import { contentPath, makeStore } from "@banyan/runtime";
import { MemoryBlobs } from "@banyan/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { layerOf } from "./layer-of.ts";
import { start, type TestNode, testNode } from "./test-node.ts";

const TEST_MS = 120_000;
const HOUR_MS = 3_600_000;
const root = mkdtempSync("/var/tmp/bny-store-");
let store: string;
let blobs: MemoryBlobs;
let node: TestNode;
beforeAll(async () => {
  store = (await makeStore(root)).id;
  blobs = new MemoryBlobs();
  node = await testNode({ volumeDir: root }, blobs);
}, TEST_MS);
afterAll(async () => {
  await node?.end();
  rmSync(root, { recursive: true, force: true });
}, TEST_MS);

function newCow(): MountOrder {
  const volumeId = newId("vol");
  const content = contentPath(root, volumeId);
  mkdirSync(join(content, "directory/inner"), { recursive: true });
  for (const path of ["file", "other", "directory/file"]) writeFileSync(join(content, path), "of the volume\n");
  return { path: "/data", subpath: "", mode: "cow", source: { kind: "directory", store, volumeId, versionId: null } };
}

async function running(on: TestNode, mount: MountOrder, layers?: StackLayer[]) {
  const order = on.order({ mounts: [mount], ...(layers && { layers }) });
  await start(on, order);
  return order;
}

async function frozen(on: TestNode, { sandboxId, epoch }: { sandboxId: string; epoch: number }) {
  const frozenId = newId("frz");
  return (await freezeSandbox(on.parts, { sandboxId, epoch, frozenId, keepUntil: Date.now() + HOUR_MS })).layer;
}

const CHANGE = "echo mine > /data/file; rm /data/other; rm -r /data/directory; mkdir /data/directory; touch /data/directory/new";
const LOOK = "cat /data/file; find /data | sort";
const SEEN = "mine\n/data\n/data/directory\n/data/directory/new\n/data/file\n";

describe("what was changed in a `cow` mount", () => {
  it(
    "goes with the sandbox's files to another node, deleted files of the volume too",
    async () => {
      const mount = newCow();
      const source = await running(node, mount);
      await node.sh(source, CHANGE);
      const { layers } = await shipLayers(node.parts, { layers: [...source.layers, await frozen(node, source)] });
      const other = await testNode({ volumeDir: root, disk: "plain" }, blobs);
      try {
        const remote = await running(other, mount, layers);
        expect((await other.sh(remote, LOOK)).out).toBe(SEEN);
        await other.sh(remote, "rm /data/file");
        const back = await shipLayers(other.parts, { layers: [...layers, await frozen(other, remote)] });
        const again = await running(node, mount, back.layers);
        expect((await node.sh(again, "find /data | sort")).out).toBe("/data\n/data/directory\n/data/directory/new\n");
      } finally {
        await other.end();
      }
    },
    TEST_MS,
  );

  it(
    "stays whole where a deep stack becomes one layer",
    async () => {
      const mount = newCow();
      const first = await running(node, mount);
      await node.sh(first, `${CHANGE}; touch /data/first`);
      const lower = [...first.layers, await frozen(node, first)];
      const second = await running(node, mount, lower);
      // One whiteout over a file of the layer below, one over a file of the volume, and a directory where a file was.
      await node.sh(second, "rm /data/first; rm -r /data/directory; rm /data/file; mkdir /data/file; touch /data/file/new");
      const expected = (await node.sh(second, "find /data | sort")).out;
      expect(expected).toBe("/data\n/data/file\n/data/file/new\n");
      const more = Array.from({ length: 79 }, (_, at) => layerOf(blobs, `carried-${at}`));
      const deep = [...lower, ...more, await frozen(node, second)];
      await node.parts.layers.ensure(deep);
      const shipped = await shipLayers(node.parts, { layers: deep });
      expect(shipped.layers).toHaveLength(1);
      const flat = await running(node, mount, shipped.layers);
      expect((await node.sh(flat, "find /data | sort; cat /carried-78")).out).toBe(`${expected}this is carried-78`);
      expect(readFileSync("/proc/self/mountinfo", "utf8")).not.toContain(node.parts.spoolDirectory);
    },
    TEST_MS,
  );

  it("is part of a snapshot of the sandbox, for whoever mounts the volume there again", async () => {
    const mount = newCow();
    const source = await running(node, mount);
    await node.sh(source, CHANGE);
    const snapshot = await snapshotSandbox(node.parts, source);
    const from = await running(node, mount, snapshot.layers);
    expect((await node.sh(from, LOOK)).out).toBe(SEEN);
    const elsewhere = await running(node, { ...mount, path: "/elsewhere" }, snapshot.layers);
    expect((await node.sh(elsewhere, "cat /elsewhere/file")).out).toBe("of the volume\n");
  });

  it("counts as a change since a freeze, under the path that the sandbox knows", async () => {
    const mount = newCow();
    const source = await running(node, mount);
    const { digest } = await frozen(node, source);
    const { sandboxId, epoch } = source;
    const compare = () => compareSandbox(node.parts, { sandboxId, epoch, frozen: digest });
    expect(await compare()).toEqual({ changed: [], count: 0 });
    await node.parts.registry.find(source).init.spawn({ id: "quiet", argv: ["/bin/true"] });
    expect(await compare()).toEqual({ changed: [], count: 0 });
    await node.sh(source, "echo x > /data/new");
    expect(await compare()).toEqual({ changed: ["/data/new"], count: 1 });
  });
});

it(
  "gives a hundred sandboxes of one volume each a view of its own",
  async () => {
    const mount = newCow();
    const many = await testNode({
      volumeDir: root,
      slotMaker: "oci",
      pool: { target: 8, parallel: 2, perS: 100, slotsMax: 120, quietMs: 0 },
    });
    try {
      const orders = await Promise.all(Array.from({ length: 100 }, () => running(many, mount)));
      await Promise.all(orders.map((order, at) => many.sh(order, `echo ${at} > /data/file; rm -r /data/directory; touch /data/by-${at}`)));
      const seen = await Promise.all(orders.map(async (order) => (await many.sh(order, "cat /data/file; ls /data")).out));
      expect(seen).toEqual(orders.map((_, at) => `${at}\nby-${at}\nfile\nother\n`));
      expect(readFileSync(join(contentPath(root, mount.source.volumeId), "file"), "utf8")).toBe("of the volume\n");
      await Promise.all(orders.map(({ sandboxId, epoch }) => deleteSandbox(many.parts, { sandboxId, epoch })));
      expect(readFileSync("/proc/self/mountinfo", "utf8")).not.toContain(mount.source.volumeId);
    } finally {
      await many.end();
    }
  },
  TEST_MS,
);
