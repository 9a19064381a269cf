import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { MountMode, MountOrder } from "@banyan/contracts";
import { newId } from "@banyan/kernel";
import { deleteSandbox, mountVolume, startSandbox, stopSandbox, unmountVolume } from "@banyan/runner-agent";
import { contentPath, type Mount, makeStore, readMounts, versionPath } from "@banyan/runtime";
import { eventually } from "@banyan/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { command, forkPoint, manyOrder, outcomesOf, startChildren } from "./fork-harness.ts";
import { start, stopOf, type TestNode, testNode } from "./test-node.ts";

const TEST_MS = 60_000;
let root: string;
let store: string;
let node: TestNode;

/** A plain directory of this machine's disk, as `BANYAN_VOLUMES_DISK=plain` has it; test/e2e/volumes.test.ts mounts from a btrfs. */
beforeAll(async () => {
  root = mkdtempSync("/var/tmp/bny-store-");
  store = (await makeStore(root)).id;
  node = await testNode({ volumeDir: root });
}, TEST_MS);
afterAll(async () => {
  await node?.end();
  rmSync(root, { recursive: true, force: true });
}, TEST_MS);

/** A volume with one file, and where it lies on this host. */
function newVolume(): { volumeId: string; path: string } {
  const volumeId = newId("vol");
  const path = contentPath(root, volumeId);
  mkdirSync(join(path, "sub"), { recursive: true });
  writeFileSync(join(path, "file"), "of the volume\n");
  return { volumeId, path };
}

function mountOf(volumeId: string, mode: MountMode, changes: Partial<MountOrder> = {}): MountOrder {
  return { path: "/data", subpath: "", mode, source: { kind: "directory", store, volumeId, versionId: null }, ...changes };
}

async function running(...mounts: MountOrder[]) {
  const order = node.order({ mounts });
  await start(node, order);
  return order;
}
type Order = Awaited<ReturnType<typeof running>>;
const out = async (order: Order, shell: string): Promise<string> => (await node.sh(order, shell)).out;
const mount = ({ sandboxId, epoch }: Order, order: MountOrder) => mountVolume(node.parts, { sandboxId, epoch, mount: order });
const unmount = ({ sandboxId, epoch }: Order, path = "/data", force = false) =>
  unmountVolume(node.parts, { sandboxId, epoch, path, force });
const again = (order: Order, mounts = order.mounts): Order => ({ ...order, epoch: order.epoch + 1, fresh: false, mounts });
const end = ({ sandboxId, epoch }: Order) => deleteSandbox(node.parts, { sandboxId, epoch });

describe("volumes of a start", () => {
  it("are shared, read-only or the sandbox's own, as the order says", async () => {
    const { volumeId, path } = newVolume();
    const [one, two, reader, alone] = [
      await running(mountOf(volumeId, "rw")),
      await running(mountOf(volumeId, "rw")),
      await running(mountOf(volumeId, "ro")),
      await running(mountOf(volumeId, "cow")),
    ];
    await node.sh(one, "echo shared > /data/new");
    await node.sh(alone, "echo own > /data/own; rm /data/file");
    expect(await out(two, "cat /data/new; ls /data")).toBe("shared\nfile\nnew\nsub\n");
    expect(await out(reader, "ls /data; touch /data/no || echo refused")).toBe("file\nnew\nsub\nrefused\n");
    expect(await out(alone, "ls /data")).toBe("new\nown\nsub\n");
    expect(readdirSync(path)).toEqual(["file", "new", "sub"]);
    for (const order of [one, two, reader, alone]) await end(order);
  });

  it("are another state of it, a part of it, or a single file", async () => {
    const { volumeId, path } = newVolume();
    const versionId = newId("ver");
    mkdirSync(versionPath(root, volumeId, versionId), { recursive: true });
    writeFileSync(join(versionPath(root, volumeId, versionId), "file"), "of the version\n");
    writeFileSync(join(path, "sub/inner"), "");
    const order = await running(
      mountOf(volumeId, "ro", { path: "/version", source: { kind: "directory", store, volumeId, versionId } }),
      mountOf(volumeId, "rw", { path: "/deep/part", subpath: "sub" }),
      mountOf(volumeId, "ro", { path: "/etc/issue", subpath: "file" }),
    );
    expect(await out(order, "cat /version/file; ls /deep/part; cat /etc/issue")).toBe("of the version\ninner\nof the volume\n");
    await end(order);
  });

  it("come back with the next start, what was changed in a `cow` among them", async () => {
    const { volumeId } = newVolume();
    const order = await running(mountOf(volumeId, "cow"));
    await node.sh(order, "echo own > /data/own; rm /data/file");
    await stopSandbox(node.parts, stopOf(order));
    const next = again(order);
    await start(node, next);
    expect(await out(next, "ls /data; cat /data/own")).toBe("own\nsub\nown\n");
    await end(next);
  });

  it("are refused by what is wrong with them, and leave nothing of the start behind", async () => {
    const { volumeId, path } = newVolume();
    symlinkSync("/etc", join(path, "out"));
    const cases: [MountOrder, string][] = [
      [mountOf(volumeId, "rw", { source: { kind: "directory", store: "another", volumeId, versionId: null } }), "volume.unreachable"],
      [mountOf(newId("vol"), "rw"), "volume.not_found"],
      [mountOf(volumeId, "rw", { subpath: "none" }), "volume.subpath_not_found"],
      [mountOf(volumeId, "rw", { subpath: "out" }), "volume.subpath_not_found"],
      [mountOf(volumeId, "rw", { path: "/etc/passwd/below" }), "mount.refused"],
      [mountOf(volumeId, "cow", { subpath: "file" }), "mount.refused"],
    ];
    for (const [each, code] of cases) {
      const order = node.order({ mounts: [each] });
      await expect(startSandbox(node.parts, order), code).rejects.toMatchObject({ code });
      expect(node.parts.registry.get(order.sandboxId), code).toBeUndefined();
      expect(node.parts.disk.driver.has(order.sandboxId), code).toBe(false);
    }
  });

  it("are refused at once while the store is lost, and mounted again when it is back", async () => {
    const { volumeId } = newVolume();
    const said = () => node.parts.stores.said().find((each) => each.store === store)?.state;
    const marker = join(root, ".banyan-store.json");
    const text = readFileSync(marker, "utf8");
    rmSync(marker);
    try {
      await eventually(() => expect(said()).toBe("lost"), { timeoutMs: 20_000 });
      await expect(startSandbox(node.parts, node.order({ mounts: [mountOf(volumeId, "rw")] }))).rejects.toMatchObject({
        code: "volume.unreachable",
      });
    } finally {
      writeFileSync(marker, text);
    }
    await eventually(() => expect(said()).toBe("ok"), { timeoutMs: 20_000 });
    await end(await running(mountOf(volumeId, "rw")));
  });
});

describe("a live mount", () => {
  it("appears and goes; the same again is success, another at its place is refused", async () => {
    const { volumeId } = newVolume();
    const order = await running();
    await mount(order, mountOf(volumeId, "rw"));
    await mount(order, mountOf(volumeId, "rw"));
    await expect(mount(order, mountOf(volumeId, "ro"))).rejects.toMatchObject({ code: "mount.exists" });
    await expect(mount(order, mountOf(newVolume().volumeId, "rw"))).rejects.toMatchObject({ code: "mount.exists" });
    expect(await out(order, "cat /data/file")).toBe("of the volume\n");
    await unmount(order);
    await unmount(order);
    expect(await out(order, "ls -A /data | wc -l")).toBe("0\n");
    await expect(mount({ ...order, epoch: 9 }, mountOf(volumeId, "rw"))).rejects.toMatchObject({ code: "sandbox.stale_epoch" });
    await end(order);
    await expect(mount(order, mountOf(volumeId, "rw"))).rejects.toMatchObject({ code: "sandbox.not_found" });
  });

  it("of a `cow` keeps what was changed for the next time it is mounted", async () => {
    const { volumeId } = newVolume();
    const order = await running();
    await mount(order, mountOf(volumeId, "cow"));
    await node.sh(order, "echo own > /data/own");
    await unmount(order);
    await mount(order, mountOf(volumeId, "cow"));
    expect(await out(order, "cat /data/own")).toBe("own\n");
    await end(order);
  });

  it("in use is unmounted by force alone, wherever the directory above it has gone", async () => {
    const { volumeId } = newVolume();
    const order = await running(mountOf(volumeId, "rw", { path: "/above/data" }));
    await node.sh(order, "mv /above /renamed; cd /renamed/data; (sleep 60 < file > /dev/null 2>&1 &)");
    await expect(unmount(order, "/above/data")).rejects.toMatchObject({ code: "mount.busy" });
    await unmount(order, "/above/data", true);
    expect(await out(order, "ls -A /renamed/data | wc -l")).toBe("0\n");
    await end(order);
  });

  it("leaves nothing on the host, however often and however it ends", async () => {
    const { volumeId } = newVolume();
    const order = await running();
    for (let round = 0; round < 50; round++) {
      await mount(order, mountOf(volumeId, round % 2 === 0 ? "rw" : "cow"));
      await unmount(order);
    }
    await mount(order, mountOf(volumeId, "cow"));
    await mount(order, mountOf(volumeId, "rw", { path: "/other" }));
    expect(node.parts.registry.get(order.sandboxId)?.entry.mounts).toHaveLength(2);
    await end(order);
    const isLeft = ({ root: mounted, mountPoint, source, options }: Mount) =>
      [mounted, mountPoint, source, ...options].some((text) => text.includes(volumeId) || text.includes(order.sandboxId));
    expect(readMounts().filter(isLeft)).toEqual([]);
  });
});

describe("children of a fork", () => {
  it("see what the parent changed in a `cow`, and never what their siblings do", async () => {
    const [{ volumeId }, { volumeId: sharedId, path }] = [newVolume(), newVolume()];
    const mounts = [mountOf(volumeId, "cow"), mountOf(sharedId, "rw", { path: "/shared" })];
    const { layers, source } = await forkPoint(node, "echo parent > /data/parent; rm /data/file", await running(...mounts));
    const shell = "echo $BANYAN_FORK_INDEX > /data/own; echo x > /shared/by-$BANYAN_FORK_INDEX; ls /data; cat /data/own";
    const order = manyOrder(node, 6, { layers, mounts, command: command(shell) });
    expect((await startChildren(node, order)).map(({ kind }) => kind)).toEqual(Array(6).fill("started"));
    const ended = await eventually(
      () => {
        const outcomes = outcomesOf(node, order);
        expect(outcomes).toHaveLength(6);
        return outcomes;
      },
      { timeoutMs: 20_000 },
    );
    for (const { index, outcome } of ended) expect(outcome).toMatchObject({ stdout: `own\nparent\nsub\n${index}\n` });
    expect(readdirSync(path)).toEqual(["by-0", "by-1", "by-2", "by-3", "by-4", "by-5", "file", "sub"]);
    expect(await out(source, "ls /data")).toContain("parent\n");
    expect(await out(source, "ls /data")).not.toContain("own\n");
    for (const child of order.children) await deleteSandbox(node.parts, child);
    await end(source);
  });

  it("all fail where a volume of theirs is not to be had, and none stays", async () => {
    const order = manyOrder(node, 3, { mounts: [mountOf(newId("vol"), "rw")] });
    const answers = await startChildren(node, order);
    expect(answers).toEqual(order.children.map(() => expect.objectContaining({ kind: "failed", code: "volume.not_found" })));
    expect(order.children.some(({ sandboxId }) => node.parts.registry.get(sandboxId) !== undefined)).toBe(false);
  });
});
