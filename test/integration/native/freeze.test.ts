import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { cgroupsOf, freezerOf, thawWrite } from "@banyan/runtime";
import { eventually } from "@banyan/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { testRootfs } from "../dataplane/rootfs.ts";
import { run, TestNode, type TestSlot } from "./test-slot.ts";

let node: TestNode;
let count = 0;

beforeAll(async () => {
  node = await TestNode.start();
});
afterAll(() => node.stop());

/** Writes the same number into two files, one after the other, for ever. */
const COUNTING = "i=0; while :; do i=$((i+1)); echo $i > /a.new; mv /a.new /a; echo $i > /b.new; mv /b.new /b; done";

async function countingSlot(): Promise<{ slot: TestSlot; disk: string; freezer: string }> {
  const slot = await node.emptySlot();
  const { disk } = await node.attachTo(slot);
  await slot.init.spawn({ id: "counting", argv: ["/bin/sh", "-c", COUNTING] });
  await eventually(async () => expect((await run(slot.init, "cat /b")).stdout).toMatch(/\d/));
  return { slot, disk, freezer: freezerOf({ pid: slot.pid, cgroups: cgroupsOf(slot.pid) }) };
}

async function expectGoesOn(slot: TestSlot): Promise<void> {
  const before = Number((await run(slot.init, "cat /b")).stdout);
  await eventually(async () => expect(Number((await run(slot.init, "cat /b")).stdout)).toBeGreaterThan(before));
}

const frozenAt = () => join(node.disks, `frozen-${count++}`);

describe("a freeze", () => {
  it("keeps a disk as it is at one moment, and lets its processes go on", async () => {
    const { slot, disk, freezer } = await countingSlot();
    const moments: number[] = [];
    for (let round = 0; round < 20; round++) {
      const to = frozenAt();
      expect(await node.attach.freeze({ freezer, path: disk, to })).toBeGreaterThan(0);
      const [a, b] = ["a", "b"].map((name) => Number(readFileSync(join(to, "upper", name), "utf8")));
      expect([b, (b ?? 0) + 1]).toContain(a);
      moments.push(a ?? 0);
      await node.attach.diskDelete(to);
    }
    expect(moments).toEqual(moments.toSorted((one, other) => one - other));
    await expectGoesOn(slot);
  });

  it("makes what can be a layer of another sandbox at once, with what was written last", async () => {
    const slot = await node.emptySlot();
    const { disk } = await node.attachTo(slot);
    await run(slot.init, "head -c 50000000 /dev/urandom > /large; sha256sum /large > /sum; rm /etc/issue; mv /etc/motd /etc/moved");
    const to = frozenAt();
    await node.attach.freeze({ freezer: freezerOf({ pid: slot.pid, cgroups: cgroupsOf(slot.pid) }), path: disk, to });
    await run(slot.init, "echo later > /large");
    const child = await node.slot({ lower: [join(to, "upper"), testRootfs()] });
    expect((await run(child.init, "sha256sum -c /sum; test -e /etc/issue || echo deleted; ls /etc/moved")).stdout).toBe(
      "/large: OK\ndeleted\n/etc/moved\n",
    );
    expect(() => writeFileSync(join(to, "upper", "no"), "")).toThrow("EROFS");
  });

  it("stops nothing where nothing runs", async () => {
    const disk = join(node.disks, `disk-of-none-${count++}`);
    await node.attach.diskCreate({ path: disk });
    writeFileSync(join(disk, "upper", "file"), "x");
    const to = frozenAt();
    expect(await node.attach.freeze({ freezer: null, path: disk, to })).toBe(0);
    expect(readFileSync(join(to, "upper", "file"), "utf8")).toBe("x");
  });

  it("copies with a tool where there are no snapshots", async () => {
    const { slot, disk, freezer } = await countingSlot();
    const to = frozenAt();
    const argv = ["cp", "--archive", "--reflink=auto", join(disk, "upper"), to];
    expect(await node.attach.freeze({ freezer, argv, timeoutMs: 10_000 })).toBeGreaterThan(0);
    const [a, b] = ["a", "b"].map((name) => Number(readFileSync(join(to, name), "utf8")));
    expect([b, (b ?? 0) + 1]).toContain(a);
    await expectGoesOn(slot);
  });

  it("lets the processes go on, whatever fails", async () => {
    const { slot, disk, freezer } = await countingSlot();
    const taken = frozenAt();
    mkdirSync(taken);
    await expect(node.attach.freeze({ freezer, path: disk, to: taken })).rejects.toMatchObject({ errnoName: "EEXIST" });
    await expect(node.attach.freeze({ freezer, path: join(node.disks, "none"), to: frozenAt() })).rejects.toMatchObject({
      errnoName: "ENOENT",
    });
    await expect(node.attach.freeze({ freezer, argv: ["sleep", "60"], timeoutMs: 50 })).rejects.toMatchObject({ errnoName: "ETIMEDOUT" });
    await expect(node.attach.freeze({ freezer, argv: ["false"], timeoutMs: 5_000 })).rejects.toMatchObject({ errnoName: "EIO" });
    await expect(node.attach.freeze({ freezer, argv: ["no-such-tool"], timeoutMs: 5_000 })).rejects.toMatchObject({ errnoName: "EIO" });
    await expectGoesOn(slot);
  });

  it("is undone from outside after a helper that was killed in the middle", async () => {
    const { slot, freezer } = await countingSlot();
    await node.attach.cgroup([{ ...thawWrite(freezer), value: existsSync(`${freezer}/freezer.state`) ? "FROZEN" : "1" }]);
    await expect(slot.init.ping({ deadlineMs: 200 })).rejects.toMatchObject({ code: "timeout" });
    await node.attach.cgroup([thawWrite(freezer)]);
    await expectGoesOn(slot);
  });

  it("takes no directory that is not a cgroup's", async () => {
    const disk = join(node.disks, `disk-of-none-${count++}`);
    await node.attach.diskCreate({ path: disk });
    for (const freezer of ["/tmp", "/sys/fs/cgroup/../../../tmp", ""]) {
      await expect(node.attach.freeze({ freezer, path: disk, to: frozenAt() })).rejects.toMatchObject({ errnoName: "EINVAL" });
    }
  });
});
