import { statSync } from "node:fs";
import { join } from "node:path";
import type { StartOrder } from "@banyan/contracts";
import { newId } from "@banyan/kernel";
import { deleteSandbox, shipLayers, snapshotSandbox, stopSandbox } from "@banyan/runner-agent";
import { MemoryBlobs } from "@banyan/testkit";
import { afterAll, beforeAll, expect, it } from "vitest";
import { forkPoint } from "./fork-harness.ts";
import { start, stopOf, type TestNode, testNode } from "./test-node.ts";

let blobs: MemoryBlobs;
let node: TestNode;
beforeAll(async () => {
  blobs = new MemoryBlobs();
  node = await testNode({}, blobs);
});
afterAll(() => node.end());

const FILES = 300;
const RANGE_SIZE = 2 ** 36;
/** Made in the same order in each sandbox, so that disks that count from the same number give the same numbers to them. */
const make = (directory: string) => `mkdir /${directory} && for i in $(seq ${FILES}); do echo "${directory} $i" > /${directory}/$i; done`;
/** What the kernel gives for it goes through the tools that compare numbers. */
const COPY = "cp /new/* /data/ && mv /new/1 /data/2 && grep -L new /data/*";

const uppersOf = (order: StartOrder) => [
  ...order.layers.map(({ digest }) => node.parts.layers.path(digest)),
  node.parts.disk.driver.paths(order.sandboxId).upper,
];
const rangesOf = (order: StartOrder) => uppersOf(order).map((path) => Math.floor(statSync(path).ino / RANGE_SIZE));

/** Paths that a tool takes for one file though they are more than it has links: each group begins with device and number. */
async function shared(on: TestNode, order: StartOrder): Promise<string[]> {
  const { out, err, status } = await on.sh(order, "find / -xdev -printf '%D %i %n %p\\n'");
  expect({ err, status }).toMatchObject({ err: "", status: { code: 0 } });
  const groups = new Map<string, { links: number; paths: string[] }>();
  for (const line of out.trimEnd().split("\n")) {
    const [device, inode, links, ...path] = line.split(" ");
    const group = groups.get(`${device} ${inode}`) ?? { links: Number(links), paths: [] };
    group.paths.push(path.join(" "));
    group.links = Math.min(group.links, Number(links));
    groups.set(`${device} ${inode}`, group);
  }
  expect(groups.size).toBeGreaterThan(1_000);
  return [...groups].filter(([, { links, paths }]) => paths.length > links).map(([key, { paths }]) => `${key} ${paths.join(" ")}`);
}

async function begin(changes: Partial<StartOrder> = {}): Promise<StartOrder> {
  const order = node.order(changes);
  await start(node, order);
  return order;
}

/** On a disk that counts from the start, as every disk does without blanks. */
async function beginUnmoved(changes: Partial<StartOrder> = {}): Promise<StartOrder> {
  const order = node.order({ fresh: false, ...changes });
  await node.parts.attach.diskCreate({ path: join(node.parts.disk.directory, "sandboxes", order.sandboxId) });
  await start(node, order);
  return order;
}

it("gives no two files of a sandbox, its child and its grandchild one number, so that cp and mv know them apart", async () => {
  const source = await begin();
  expect(await shared(node, source)).toEqual([]);
  const { layers } = await forkPoint(node, make("data"), source);
  expect(await shared(node, source)).toEqual([]);
  const child = await begin({ layers });
  await node.sh(child, make("new"));
  expect(await shared(node, child)).toEqual([]);
  const below = await forkPoint(node, "true", child);
  const grandchild = await begin({ layers: below.layers });
  await node.sh(grandchild, make("newer"));
  expect(await shared(node, grandchild)).toEqual([]);
  expect(await node.sh(grandchild, "cp /newer/* /data/ && cp /newer/* /new/ && grep -L newer /data/* /new/*")).toMatchObject({
    out: "",
    err: "",
  });
  expect(await node.sh(child, COPY)).toMatchObject({ out: "", err: "" });
  expect((await node.sh(child, "cat /data/2 /data/300")).out).toBe("new 1\nnew 300\n");
  expect(await shared(node, child)).toEqual([]);
});

it("is what a disk that counts from the start does not do", async () => {
  const source = await beginUnmoved();
  expect(await shared(node, source)).toEqual([]);
  const { layers } = await forkPoint(node, make("data"), source);
  expect(await shared(node, source)).not.toEqual([]);
  const child = await beginUnmoved({ layers });
  await node.sh(child, make("new"));
  expect((await shared(node, child)).filter((group) => /\/new\/.*\/data\/|\/data\/.*\/new\//.test(group)).length).toBeGreaterThan(
    FILES / 2,
  );
  expect((await node.sh(child, COPY)).err).toMatch(/are the same file/);
});

it("stacks no two disks of one range, however many generations there are", async () => {
  let order = await begin();
  for (let generation = 0; generation < 10; generation++) {
    const { layers } = await forkPoint(node, `echo ${generation} > /generation-${generation}`, order);
    await deleteSandbox(node.parts, order);
    order = await begin({ layers });
  }
  const [image, ...disks] = rangesOf(order);
  expect(image).toBe(0);
  expect(disks).toHaveLength(11);
  expect(new Set([0, ...disks]).size).toBe(12);
  expect(await shared(node, order)).toEqual([]);
});

it("counts on after a stop and after a restart of the node, never from a number that a file has", async () => {
  const source = await begin();
  const { layers } = await forkPoint(node, make("data"), source);
  const child = await begin({ layers });
  await node.sh(child, "mkdir /early && for i in $(seq 50); do echo $i > /early/$i; done");
  await stopSandbox(node.parts, stopOf(child));
  await node.stop("keep");
  node = await testNode(node.config, blobs);
  const again = { ...child, epoch: 2, fresh: false };
  await start(node, again);
  await node.sh(again, make("new"));
  expect(await shared(node, again)).toEqual([]);
  expect((await node.sh(again, COPY)).err).toBe("");
  const late = await begin({ layers });
  await node.sh(late, make("new"));
  expect(new Set(rangesOf(late)).size).toBe(3);
  expect(await shared(node, late)).toEqual([]);
});

it("holds for a parent that takes over its child's files, for an archived sandbox, and on another node", async () => {
  const source = await begin();
  const { layers } = await forkPoint(node, make("data"), source);
  const child = await begin({ layers });
  const promoted = await forkPoint(node, make("early"), child);
  const parent = { ...source, epoch: 2, layers: promoted.layers };
  await stopSandbox(node.parts, stopOf(source));
  await start(node, parent);
  await node.sh(parent, make("new"));
  expect(await shared(node, parent)).toEqual([]);
  const archived = await snapshotSandbox(node.parts, parent);
  const back = await begin({ sandboxId: newId("sbx"), layers: archived.layers });
  await node.sh(back, `rm -r /new; ${make("new")}`);
  expect(await shared(node, back)).toEqual([]);
  const shipped = await shipLayers(node.parts, { layers: promoted.layers });
  const other = await testNode({}, blobs);
  try {
    const remote = other.order({ layers: shipped.layers });
    await start(other, remote);
    await other.sh(remote, make("new"));
    expect(await shared(other, remote)).toEqual([]);
    expect((await other.sh(remote, COPY)).err).toBe("");
  } finally {
    await other.end();
  }
});

it("needs nothing of the kind on a disk of plain directories, which all count together", async () => {
  const plain = await testNode({ disk: "plain" }, blobs);
  try {
    const source = plain.order();
    await start(plain, source);
    const { layers } = await forkPoint(plain, make("data"), source);
    const child = plain.order({ layers });
    await start(plain, child);
    await plain.sh(child, make("new"));
    expect(await shared(plain, child)).toEqual([]);
    expect((await plain.sh(child, COPY)).err).toBe("");
  } finally {
    await plain.end();
  }
});
