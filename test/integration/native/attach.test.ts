import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { chmodSync, chownSync, existsSync, lstatSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { constants } from "node:os";
import { join } from "node:path";
import { LIMITS } from "@banyan/contracts";
import { AttachClient, buildNative, processStartTime } from "@banyan/runtime";
import { eventually } from "@banyan/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { testRootfs } from "../dataplane/rootfs.ts";
import { run, TestNode } from "./test-slot.ts";

const MB = 1024 * 1024;

let node: TestNode;

beforeAll(async () => {
  node = await TestNode.start();
});

afterAll(() => node.stop());

const places = (disk: string) => ({ upper: join(disk, "upper"), work: join(disk, "work") });

const LOOK = "find /private -printf '%p %m %U:%G\\n' | sort; cat /private/a /private/deep/new/b /private/link";

describe("an attach", () => {
  it("makes a tree the root of a slot, with hostname, seeds, the kernel's trees and a /tmp for all", async () => {
    const slot = await node.emptySlot();
    const seeds = [
      { path: "/etc/hosts", content: "127.0.0.1 here\n" },
      { path: "/made/for/this", content: Buffer.from([0, 255, 10]) },
    ];
    const { timing } = await node.attachTo(slot, { hostname: "name-of-it", seeds });
    expect(timing.totalUs).toBeGreaterThanOrEqual(timing.mountUs + timing.pivotUs);
    const { stdout } = await run(
      slot.init,
      "hostname; cat /etc/hosts; od -An -tx1 /made/for/this; stat -c %a /tmp /etc; ls -d /proc/self /dev/null /sys/kernel; cat /proc/1/comm",
    );
    expect(stdout).toBe("name-of-it\n127.0.0.1 here\n 00 ff 0a\n1777\n755\n/dev/null\n/proc/self\n/sys/kernel\ninit\n");
    expect(execFileSync("docker", ["exec", slot.container.id, "cat", "/etc/hosts"], { encoding: "utf8" })).toBe("127.0.0.1 here\n");
  });

  it.each([
    ["layer by layer", false],
    ["at once, as on an older kernel", true],
  ])("puts the first of its layers on top, %s", async (_name, mountAtOnce) => {
    const [top, middle] = ["top", "middle"].map((name) => {
      const layer = join(node.directory, name);
      mkdirSync(join(layer, "which"), { recursive: true });
      for (const file of name === "top" ? ["a"] : ["a", "b"]) writeFileSync(join(layer, "which", file), name);
      return layer;
    });
    const slot = await node.slot({ lower: [top ?? "", middle ?? "", testRootfs()], mountAtOnce });
    expect((await run(slot.init, "cat /which/a /which/b")).stdout).toBe("topmiddle");
    // What it mounts on its way is seen by nobody and gone with it.
    expect(readFileSync("/proc/self/mountinfo", "utf8")).not.toContain(`${node.disks}/`);
  });

  it("mounts as many layers at once as an image may have", async () => {
    const layers = Array.from({ length: LIMITS.layersPerImage }, (_, i) => {
      const layer = join(node.directory, "many", createHash("sha256").update(String(i)).digest("hex"));
      mkdirSync(join(layer, "which"), { recursive: true });
      writeFileSync(join(layer, "which", String(i)), "");
      return layer;
    });
    const slot = await node.slot({ lower: [...layers, testRootfs()], mountAtOnce: true });
    expect((await run(slot.init, "ls /which | wc -l; touch /new-file && ls /new-file")).stdout).toBe(
      `${LIMITS.layersPerImage}\n/new-file\n`,
    );
  });

  it.each([false, true])("finds a disk as it was left, in another slot (mounted at once: %s)", async (mountAtOnce) => {
    const first = await node.emptySlot();
    const { disk } = await node.attachTo(first, { mountAtOnce });
    await run(first.init, "echo kept > /kept; rm /etc/issue; mv /etc/motd /etc/moved");
    await node.attach.kill(first);
    const second = await node.slot({ ...places(disk), mountAtOnce });
    expect((await run(second.init, "cat /kept; ls /etc/issue /etc/motd 2>/dev/null; test -e /etc/moved && echo moved")).stdout).toBe(
      "kept\nmoved\n",
    );
  });

  it("writes seeds nowhere but into the sandbox, whatever a sandbox left in their way", async () => {
    const first = await node.emptySlot();
    const { disk } = await node.attachTo(first);
    const outside = join(node.directory, "outside");
    mkdirSync(outside);
    await run(
      first.init,
      `mkdir -p ${outside} /d; rm -rf /etc/apt; ln -s ${outside} /etc/apt; ln -s ${outside}/file /link; mkfifo /fifo; rm /etc/hosts`,
    );
    await node.attach.kill(first);
    const seeds = ["/etc/apt/seed", "/link", "/fifo", "/etc/hosts", "/../../up"].map((path) => ({ path, content: "seed" }));
    const second = await node.slot({ ...places(disk), seeds });
    expect((await run(second.init, `cat ${outside}/seed /link /fifo /etc/hosts /up; readlink /etc/apt`)).stdout).toBe(
      `seedseedseedseedseed${outside}\n`,
    );
    expect(existsSync(join(outside, "seed"))).toBe(false);
    await expect(node.slot({ seeds: [{ path: "/etc", content: "a directory" }] })).rejects.toMatchObject({ errnoName: "EISDIR" });
  });

  it("seeds a fresh disk and a used one alike, with the rights the layers give", async () => {
    const layer = join(node.directory, "rights");
    mkdirSync(join(layer, "private/deep"), { recursive: true });
    chmodSync(join(layer, "private"), 0o2750);
    chownSync(join(layer, "private"), 11, 22);
    symlinkSync("/private", join(layer, "alias"));
    symlinkSync("nowhere", join(layer, "private/link"));
    const seeds = ["private/a", "private/deep/new/b", "/private/link", "alias/c"].map((path) => ({ path, content: path }));
    const looks = async (lists: (typeof seeds)[]) => {
      const slot = await node.emptySlot();
      const { disk } = await node.attachTo(slot, { lower: [layer, testRootfs()], seeds: lists[0] ?? [] });
      if (lists[1] === undefined) return run(slot.init, LOOK);
      await node.attach.kill(slot);
      const again = await node.slot({ ...places(disk), lower: [layer, testRootfs()], seeds: lists[1] });
      return run(again.init, LOOK);
    };
    const plain = seeds.slice(0, 3);
    const [direct, through, mixed] = [await looks([plain]), await looks([[], plain]), await looks([seeds])];
    expect(direct.stdout).toBe(through.stdout);
    expect(direct.stdout).toContain("/private/deep/new/b 644 0:0\n");
    expect(direct.stdout).toContain("/private 2750 11:22\n");
    expect(mixed.stdout).toBe(direct.stdout.replace("/private/deep", "/private/c 644 0:22\n/private/deep"));
  });

  it("takes the network down where it is asked to, also where there is none", async () => {
    const slot = await node.emptySlot();
    const enter = (...argv: string[]) => execFileSync("nsenter", ["-t", String(slot.pid), "-n", ...argv], { encoding: "utf8" });
    enter("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "other");
    enter("ip", "link", "set", "eth0", "up");
    await node.attachTo(slot, { netDown: true });
    expect(enter("ip", "-o", "link", "show", "eth0")).not.toMatch(/[<,]UP[,>]/);
    await node.slot({ netDown: true });
  });

  it("puts limits in force before anything runs, and nothing outside of the cgroups", async () => {
    const slot = await node.slot({ memoryMb: 48, pids: 33 });
    const relative = /^\d+:pids:(.*)$/m.exec(readFileSync(`/proc/${slot.pid}/cgroup`, "utf8"))?.[1] ?? "";
    if (relative !== "") expect(readFileSync(join("/sys/fs/cgroup/pids", relative, "pids.max"), "utf8").trim()).toBe("33");
    const outside = join(node.directory, "not-a-cgroup");
    writeFileSync(outside, "before");
    for (const file of [outside, `/sys/fs/cgroup/../../../${outside}`]) {
      await expect(node.attach.cgroup([{ file, value: "after" }])).rejects.toMatchObject({ errnoName: "EINVAL" });
    }
    expect(readFileSync(outside, "utf8")).toBe("before");
  });

  it("refuses a process that is not the one meant, and leaves it alone", async () => {
    const slot = await node.emptySlot();
    await expect(node.attachTo({ ...slot, startTime: slot.startTime + 1 })).rejects.toMatchObject({ errnoName: "ESRCH", step: "process" });
    await node.attach.kill({ ...slot, startTime: slot.startTime + 1 });
    expect(await slot.init.ping()).toMatchObject({ pid: 1 });
    const other = (pid: number) => node.attach.attach({ pid, startTime: 1, lower: ["/none"], upper: "/none", work: "/none" });
    await expect(other(1)).rejects.toMatchObject({ errnoName: "EINVAL" });
    await expect(other(4_000_000)).rejects.toMatchObject({ errnoName: "ESRCH" });
  });

  it("leaves the slot as it was when it fails, so that it can be tried again", async () => {
    const slot = await node.emptySlot();
    const broken = join(node.directory, "broken");
    mkdirSync(broken);
    symlinkSync("/etc", join(broken, "sys"));
    await expect(node.attachTo(slot, { lower: [join(node.directory, "missing")] })).rejects.toMatchObject({ errnoName: "ENOENT" });
    await expect(node.attachTo(slot, { lower: ["x".repeat(300)] })).rejects.toMatchObject({ errnoName: "ENAMETOOLONG" });
    await expect(node.attachTo(slot, { lower: [broken] })).rejects.toMatchObject({ step: "sys" });
    expect((await slot.init.files.list("/")).entries.map(({ path }) => path)).toContain("init");
    await node.attachTo(slot);
    expect((await run(slot.init, "ls -d /proc/self /sys/kernel /dev/null /etc/passwd | wc -l")).stdout.trim()).toBe("4");
  });

  it("runs beside others", async () => {
    const slots = await Promise.all(Array.from({ length: 6 }, () => node.emptySlot()));
    await Promise.all(slots.map((slot, i) => node.attachTo(slot, { hostname: `host-${i}` })));
    const names = await Promise.all(slots.map(async ({ init }) => (await run(init, "hostname")).stdout.trim()));
    expect(names).toEqual(slots.map((_, i) => `host-${i}`));
  });
});

describe("a kill", () => {
  it("ends a slot with all that runs in it, and is content when it is gone", async () => {
    const slot = await node.slot();
    await slot.init.spawn({ id: "left", argv: ["/bin/sleep", "1000"] });
    await node.attach.kill(slot);
    expect(processStartTime(slot.pid)).toBeNull();
    await node.attach.kill(slot);
    await expect(slot.init.ping()).rejects.toMatchObject({ code: "connection_lost" });
  });
});

describe("a disk", () => {
  it("is limited, counted and destroyed", async () => {
    const path = join(node.disks, "limited");
    await node.attach.diskCreate({ path, limitBytes: 16 * MB });
    expect(lstatSync(join(path, "upper")).isDirectory() && lstatSync(join(path, "work")).isDirectory()).toBe(true);
    const fill = (name: string, megabytes: number) => writeFileSync(join(path, "upper", name), Buffer.alloc(megabytes * MB, 7));
    expect(() => fill("big", 20)).toThrow(expect.objectContaining({ errno: -constants.errno.EDQUOT }));
    await node.attach.diskLimit(path, 64 * MB);
    fill("fits", 30);
    execFileSync("sync", ["-f", path]);
    const used = await node.attach.diskUsage(path);
    expect(used).toBeGreaterThan(30 * MB);
    expect(used).toBeLessThan(64 * MB);
    await node.attach.diskLimit(path, 0);
    fill("unlimited", 80);
    await node.attach.diskDelete(path);
    expect(existsSync(path)).toBe(false);
  });

  it("is never shared, and never taken for one by mistake", async () => {
    const path = join(node.disks, "once");
    await node.attach.diskCreate({ path });
    await expect(node.attach.diskCreate({ path })).rejects.toMatchObject({ errnoName: "EEXIST" });
    const directory = join(node.disks, "directory");
    mkdirSync(directory);
    writeFileSync(join(directory, "file"), "kept");
    await expect(node.attach.diskDelete(directory)).rejects.toMatchObject({ errnoName: "ENOTTY" });
    await expect(node.attach.diskDelete(node.directory)).rejects.toMatchObject({ errnoName: "ENOTTY" });
    await expect(node.attach.diskDelete(join(node.disks, "none"))).rejects.toMatchObject({ errnoName: "ENOENT" });
    expect(readFileSync(join(directory, "file"), "utf8")).toBe("kept");
  });

  it("is a plain directory where there is no btrfs, and then cannot be limited", async () => {
    const path = join(node.directory, "plain");
    await expect(node.attach.diskCreate({ path })).rejects.toMatchObject({ errnoName: "ENOTTY" });
    await expect(node.attach.diskCreate({ path, plain: true, limitBytes: MB })).rejects.toMatchObject({ errnoName: "EINVAL" });
    expect(existsSync(path)).toBe(false);
    await node.attach.diskCreate({ path, plain: true });
    const slot = await node.slot(places(path));
    expect((await run(slot.init, "echo plain > /file && cat /file")).stdout).toBe("plain\n");
  });

  it("leaves no quota group behind", async () => {
    const groups = () => execFileSync("btrfs", ["qgroup", "show", node.disks], { encoding: "utf8" }).trim().split("\n").length;
    const settle = () => {
      execFileSync("sync", ["-f", node.disks]);
      execFileSync("btrfs", ["subvolume", "sync", node.disks]);
    };
    settle();
    const before = groups();
    for (let i = 0; i < 5; i++) await node.attach.diskCreate({ path: join(node.disks, `short-${i}`), limitBytes: MB });
    for (let i = 0; i < 5; i++) await node.attach.diskDelete(join(node.disks, `short-${i}`));
    settle();
    await eventually(() => groups() <= before);
  });
});

describe("the helper", () => {
  it("tells all who wait when it is killed, and refuses from then on", async () => {
    const { attach: binaryPath } = await buildNative();
    const helper = await AttachClient.start({ binaryPath });
    const slot = await node.slot();
    execFileSync("kill", ["-STOP", String(slot.pid)]);
    const waiting = helper.diskUsage("/nowhere").catch((error: unknown) => error);
    expect(await waiting).toMatchObject({ errnoName: "ENOENT" });
    const pid = execFileSync("pgrep", ["-P", String(process.pid), "-n", "-f", `^${binaryPath}$`], { encoding: "utf8" }).trim();
    const lost = helper
      .attach({ pid: 2, startTime: 0, lower: Array.from({ length: 500 }, () => "/x"), upper: "/x", work: "/x" })
      .catch((error: unknown) => error);
    execFileSync("kill", ["-9", pid]);
    await lost;
    await helper.exited;
    await expect(helper.diskUsage("/x")).rejects.toMatchObject({ code: "connection_lost" });
    await helper.close();
  });

  it("finishes what runs when it is closed", async () => {
    const { attach: binaryPath } = await buildNative();
    const helper = await AttachClient.start({ binaryPath });
    const slot = await node.slot();
    const killed = helper.kill(slot);
    await helper.close();
    await killed;
    expect(processStartTime(slot.pid)).toBeNull();
  });

  it("says so when its binary does not start", async () => {
    await expect(AttachClient.start({ binaryPath: "/no/such/attach" })).rejects.toMatchObject({ code: "connection_lost" });
  });
});
