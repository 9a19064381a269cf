import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { layerBlob } from "@banyan/contracts";
import { snapshotSandbox, stopSandbox } from "@banyan/runner-agent";
import { freezerOf, readMounts, thawWrite } from "@banyan/runtime";
import { eventually, MemoryBlobs } from "@banyan/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { layerOf } from "./layer-of.ts";
import { start, stopOf, type TestNode, testNode } from "./test-node.ts";

/** Fails puts while it is told to. */
class UnreliableBlobs extends MemoryBlobs {
  broken = false;
  puts = 0;

  override async put(name: string, content: Readable): Promise<{ sizeBytes: number }> {
    this.puts++;
    if (!this.broken) return super.put(name, content);
    content.destroy();
    throw new Error("the store is away");
  }
}

let blobs: UnreliableBlobs;
let node: TestNode;
beforeAll(async () => {
  blobs = new UnreliableBlobs();
  node = await testNode({}, blobs);
});
afterAll(() => node.end());

const snapshotOf = ({ sandboxId, epoch, layers }: { sandboxId: string; epoch: number; layers: { digest: string; sizeBytes: number }[] }) =>
  snapshotSandbox(node.parts, { sandboxId, epoch, layers });
const leftovers = () => ["frozen", "spool"].flatMap((name) => readdirSync(join(node.parts.disk.directory, name)));

const CHANGE =
  "echo new > /etc/new; rm /etc/issue; mkdir -m 700 /data; head -c 20000000 /dev/urandom > /data/large; sha256sum /data/large > /data/sum";
const LOOK = "cat /etc/new; test -e /etc/issue || echo deleted; stat -c %a /data; sha256sum -c /data/sum";
const SEEN = "new\ndeleted\n700\n/data/large: OK\n";

describe("a snapshot", () => {
  it("is a stack that new sandboxes start from, here and on another node, while its source goes on", async () => {
    const source = node.order();
    await start(node, source);
    await node.sh(source, `${CHANGE}; (while :; do date +%N > /tick.new; mv /tick.new /tick; done) > /dev/null 2>&1 &`);
    const answer = await snapshotOf(source);
    expect(answer).toMatchObject({ way: "copy", skipped: [] });
    expect(answer.layers.slice(0, -1)).toEqual(source.layers);
    expect(answer.pausedMs).toBeGreaterThan(0);
    await node.sh(source, "rm -r /data");
    const tick = (await node.sh(source, "cat /tick")).out;
    await eventually(async () => expect((await node.sh(source, "cat /tick")).out).not.toBe(tick));

    const child = node.order({ layers: answer.layers });
    expect(await start(node, child)).toMatchObject({ path: "warm" });
    expect((await node.sh(child, LOOK)).out).toBe(SEEN);
    await node.sh(child, "echo changed > /etc/new");
    expect((await node.sh(source, "cat /etc/new")).out).toBe("new\n");

    const other = await testNode({}, blobs);
    try {
      const remote = other.order({ layers: answer.layers });
      expect(await start(other, remote)).toMatchObject({ path: "cold" });
      expect((await other.sh(remote, LOOK)).out).toBe(SEEN);
    } finally {
      await other.end();
    }
  });

  it("can be made of a stopped sandbox, which stays as it is", async () => {
    const source = node.order();
    await start(node, source);
    await node.sh(source, CHANGE);
    await stopSandbox(node.parts, stopOf(source));
    const answer = await snapshotOf(source);
    expect(answer).toMatchObject({ way: "stopped", pausedMs: 0 });
    const child = node.order({ layers: answer.layers });
    await start(node, child);
    expect((await node.sh(child, LOOK)).out).toBe(SEEN);
    const again = { ...source, epoch: 2, fresh: false };
    await start(node, again);
    expect((await node.sh(again, LOOK)).out).toBe(SEEN);
  });

  it("of a sandbox that has not changed since is the same layer, put once", async () => {
    const source = node.order();
    await start(node, source);
    await node.sh(source, "echo same > /same");
    const first = await snapshotOf(source);
    const puts = blobs.puts;
    expect((await snapshotOf(source)).layers).toEqual(first.layers);
    expect(blobs.puts).toBe(puts);
  });

  it("can be taken of its own children, again and again", async () => {
    let layers = node.order().layers;
    for (const round of [1, 2, 3]) {
      const order = node.order({ layers });
      await start(node, order);
      await node.sh(order, `echo ${round} >> /rounds; rm -f /etc/issue; echo ${round} > /round-${round}`);
      ({ layers } = await snapshotOf(order));
    }
    const last = node.order({ layers });
    await start(node, last);
    expect((await node.sh(last, "cat /rounds; ls /round-*")).out).toBe("1\n2\n3\n/round-1\n/round-2\n/round-3\n");
  });

  it("names sockets, which no layer can hold", async () => {
    const source = node.order();
    await start(node, source);
    await node.sh(source, "perl -MIO::Socket::UNIX -e 'IO::Socket::UNIX->new(Local => q(/run/a.sock), Listen => 1)'");
    expect((await snapshotOf(source)).skipped).toEqual(["run/a.sock"]);
  });

  it("is refused for a run that is over and for a sandbox that is not here", async () => {
    const source = node.order();
    await start(node, source);
    await expect(snapshotOf({ ...source, epoch: 0 })).rejects.toMatchObject({ code: "sandbox.stale_epoch" });
    await expect(snapshotOf(node.order())).rejects.toMatchObject({ code: "sandbox.not_found" });
  });

  it("that fails half-way leaves the sandbox running and nothing behind", async () => {
    const source = node.order();
    await start(node, source);
    await node.sh(source, "echo mine > /mine");
    blobs.broken = true;
    await expect(snapshotOf(source)).rejects.toMatchObject({ code: "snapshot.failed" });
    blobs.broken = false;
    const ended = AbortSignal.abort(new Error("nobody waits"));
    await expect(snapshotSandbox(node.parts, source, ended)).rejects.toMatchObject({ code: "snapshot.failed" });
    expect(leftovers()).toEqual([]);
    expect((await node.sh(source, "cat /mine")).out).toBe("mine\n");
    const { layers } = await snapshotOf(source);
    expect(blobs.contents.has(layerBlob(layers.at(-1)?.digest ?? ""))).toBe(true);
  });
});

it("flattens a stack before it is too deep, and leaves no mount", async () => {
  const layers = Array.from({ length: 79 }, (_, at) => layerOf(blobs, `layer-${at}`));
  const source = node.order();
  const deep = { ...source, layers: [...source.layers, ...layers] };
  await start(node, deep);
  await node.sh(deep, "rm /layer-3 /etc/issue; echo changed > /layer-4; mkdir /d; ln /layer-5 /d/linked");
  const answer = await snapshotOf(deep);
  expect(answer.layers).toHaveLength(1);
  const child = node.order({ layers: answer.layers });
  await start(node, child);
  const look = "ls /layer-3 /etc/issue 2>&1 | wc -l; cat /layer-4 /layer-78 /d/linked; stat -c %h /layer-5; ls / | grep -c layer";
  expect((await node.sh(child, look)).out).toBe("2\nchanged\nthis is layer-78this is layer-52\n78\n");
  expect(leftovers()).toEqual([]);
  expect(readMounts().filter(({ mountPoint }) => mountPoint.startsWith(node.parts.spoolDirectory))).toEqual([]);
});

it("removes at its start what a killed process had frozen, and lets go on what stood still", async () => {
  const source = node.order();
  await start(node, source);
  await node.parts.disk.driver.freeze(source.sandboxId, null);
  writeFileSync(join(node.parts.spoolDirectory, "half"), "x");
  const slot = node.parts.registry.get(source.sandboxId)?.run?.slot;
  if (slot === undefined) throw new Error("it runs");
  const write = thawWrite(freezerOf(slot));
  await node.parts.attach.cgroup([{ ...write, value: write.value === "0" ? "1" : "FROZEN" }]);
  await node.stop("keep");
  node = await testNode(node.config, blobs);
  expect(leftovers()).toEqual([]);
  const { init } = node.parts.registry.find(source);
  expect(await init.ping()).toMatchObject({ pid: 1 });
});
