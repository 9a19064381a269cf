import { execFileSync } from "node:child_process";
import { chmodSync, chownSync, existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { NativeError, type VolumeRequest } from "@banyan/runtime";
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

/** A directory of the host with one file, as a backend has it. */
function newVolume(): string {
  const path = join(node.directory, `volume-${count++}`);
  mkdirSync(join(path, "sub/deep"), { recursive: true });
  writeFileSync(join(path, "file"), "of the volume\n");
  writeFileSync(join(path, "sub/file"), "of sub\n");
  return path;
}

const volume = (source: string, changes: Partial<VolumeRequest> = {}): VolumeRequest => ({
  ...{ mode: "rw", target: "/data", source, subpath: "", cow: null },
  ...changes,
});
/** Each of its own disk; the work directory beside it, as a node's driver has it. */
const cowOf = (source: string, disk: string, changes: Partial<VolumeRequest> = {}) =>
  volume(source, { mode: "cow", cow: { name: "abc", work: join(disk, "work.abc") }, ...changes });

async function newDisk(): Promise<string> {
  const disk = join(node.disks, `volume-disk-${count++}`);
  await node.attach.diskCreate({ path: disk });
  return disk;
}
const placesOf = (disk: string) => ({ upper: join(disk, "upper"), work: join(disk, "work") });

async function slotWith(...volumes: VolumeRequest[]): Promise<TestSlot> {
  return node.slot({ volumes });
}

async function cowSlot(source: string, changes: { disk?: string; lower?: string[]; mountAtOnce?: boolean } = {}) {
  const { disk = await newDisk(), ...rest } = changes;
  const slot = await node.slot({ ...placesOf(disk), volumes: [cowOf(source, disk)], ...rest });
  return { slot, disk };
}

const out = async (slot: TestSlot, script: string) => (await run(slot.init, script)).stdout;
const failureOf = (failing: Promise<unknown>) =>
  failing.then(
    () => null,
    (error: unknown) => (error instanceof NativeError ? `${error.errnoName} ${error.step}` : error),
  );
const mountsOf = (slot: TestSlot) => readFileSync(`/proc/${slot.pid}/mountinfo`, "utf8").trim().split("\n").length;

describe("a volume", () => {
  it("is shared by all who have it `rw`, and by none who have it `ro` written to", async () => {
    const source = newVolume();
    const [one, two, three] = [
      await slotWith(volume(source)),
      await slotWith(volume(source)),
      await slotWith(volume(source, { mode: "ro" })),
    ];
    await run(one.init, "echo one > /data/new; rm /data/file");
    expect(await out(two, "cat /data/new; ls /data")).toBe("one\nnew\nsub\n");
    expect(
      await out(three, "cat /data/new; touch /data/no || echo refused; rm /data/new || echo kept; echo x >> /data/new || echo same"),
    ).toBe("one\nrefused\nkept\nsame\n");
    expect((await run(three.init, "mount -o remount,rw /data")).code).not.toBe(0);
    expect(readFileSync(join(source, "new"), "utf8")).toBe("one\n");
  });

  it("gives nobody a device or another user's rights", async () => {
    const source = newVolume();
    execFileSync("mknod", [join(source, "zero"), "c", "1", "5"]);
    execFileSync("cp", [join(testRootfs(), "usr/bin/id"), join(source, "id")]);
    chownSync(join(source, "id"), 0, 0);
    chmodSync(join(source, "id"), 0o4755);
    for (const mode of ["rw", "ro"] as const) {
      const slot = await slotWith(volume(source, { mode }));
      expect((await run(slot.init, "head -c 1 /data/zero")).code).not.toBe(0);
      expect((await run(slot.init, "/data/id -u", { user: "daemon" })).stdout).toBe("1\n");
    }
  });

  it("can be a part of another, a file too, and only of what lies in it", async () => {
    const source = newVolume();
    symlinkSync("/etc", join(source, "absolute"));
    symlinkSync("../../../../../../etc", join(source, "sub/relative"));
    symlinkSync("/sub/deep", join(source, "inside"));
    symlinkSync("nowhere", join(source, "dangling"));
    writeFileSync(join(source, "sub/deep/here"), "");
    const slot = await slotWith(
      volume(source, { target: "/part", subpath: "sub" }),
      volume(source, { target: "/one/file", subpath: "sub/file" }),
      volume(source, { target: "/linked", subpath: "inside", mode: "ro" }),
      volume(source, { target: "/etc/issue", subpath: "file" }),
    );
    expect(await out(slot, "ls /part; cat /one/file /etc/issue; ls /linked; echo more >> /one/file; cat /part/file; ls /part/..")).toMatch(
      /^deep\nfile\nrelative\nof sub\nof the volume\nhere\nof sub\nmore\nbin\n/,
    );
    const failure = (subpath: string) => failureOf(slotWith(volume(source, { subpath })));
    for (const subpath of ["absolute", "sub/relative", "dangling", "none"]) expect(await failure(subpath)).toBe("ENOENT subpath at /data");
    // What the links would mean outside is made inside: they lead there and nowhere else.
    mkdirSync(join(source, "etc"));
    for (const subpath of ["absolute", "sub/relative"]) {
      expect(await out(await slotWith(volume(source, { subpath })), "ls -A /data")).toBe("");
    }
    execFileSync("mkfifo", [join(source, "fifo")]);
    expect(await failure("fifo")).toBe("ENOTDIR subpath at /data");
    expect(await failureOf(slotWith(volume(join(source, "none"))))).toBe("ENOENT source at /data");
  });

  it("is mounted nowhere but on the sandbox's own files, wherever an image's links lead", async () => {
    const layer = join(node.directory, "links");
    mkdirSync(layer);
    for (const [name, to] of Object.entries({ p: "/proc", s: "/sys/fs", d: "/dev/shm", r: "/", e: "/srv", g: "/gone" }))
      symlinkSync(to, join(layer, name));
    const source = newVolume();
    const lower = [layer, testRootfs()];
    const failure = (target: string) => failureOf(node.slot({ lower, volumes: [volume(source, { target })] }));
    expect(await failure("/p/self")).toBe("EXDEV target at /p/self");
    expect(await failure("/p")).toBe("EXDEV target at /p");
    expect(await failure("/s")).toBe("EXDEV target at /s");
    expect(await failure("/d/x")).toBe("EXDEV target at /d/x");
    expect(await failure("/r")).toBe("EBUSY target at /r");
    expect(await failure("/g")).toBe("ENOENT target at /g");
    expect(await failure("/etc/passwd/x")).toBe("ENOTDIR target at /etc/passwd/x");
    expect(await failure("/etc/passwd")).toBe("ENOTDIR target at /etc/passwd");
    expect(await failureOf(slotWith(volume(source, { target: "/etc", subpath: "file" })))).toBe("EISDIR target at /etc");
    const slot = await node.slot({ lower, volumes: [volume(source, { target: "/e/deep/er" })] });
    expect(await out(slot, "cat /srv/deep/er/file; stat -c %a /srv/deep")).toBe("of the volume\n755\n");
  });

  it("that cannot be mounted leaves the slot as it was", async () => {
    const source = newVolume();
    const slot = await node.emptySlot();
    const before = mountsOf(slot);
    const good = volume(source, { target: "/good" });
    for (const bad of [volume(join(source, "none")), volume(source, { target: "/proc/x" }), volume(source, { target: "/good/inner" })]) {
      expect(await failureOf(node.attachTo(slot, { volumes: [good, bad] }))).toMatch(/ at /);
      expect(mountsOf(slot)).toBe(before);
    }
    await node.attachTo(slot, { volumes: [good] });
    expect(await out(slot, "cat /good/file; ls -d /proc/self /dev/null /sys/kernel")).toBe(
      "of the volume\n/dev/null\n/proc/self\n/sys/kernel\n",
    );
  });
});

describe("a `cow`", () => {
  it.each([false, true])("keeps what a sandbox changes to itself (mounted at once, as on an older kernel: %s)", async (mountAtOnce) => {
    const source = newVolume();
    chmodSync(source, 0o2750);
    chownSync(source, 3, 4);
    const [one, two] = [await cowSlot(source, { mountAtOnce }), await cowSlot(source, { mountAtOnce })];
    expect(
      await out(
        one.slot,
        "stat -c '%a %u:%g' /data; echo mine > /data/file; rm -r /data/sub; mkdir /data/sub; touch /data/new; ls -R /data",
      ),
    ).toBe("2750 3:4\n/data:\nfile\nnew\nsub\n\n/data/sub:\n");
    expect(await out(two.slot, "cat /data/file; ls /data /data/sub")).toBe("of the volume\n/data:\nfile\nsub\n\n/data/sub:\ndeep\nfile\n");
    expect(readFileSync(join(source, "file"), "utf8")).toBe("of the volume\n");
    await node.attach.kill(one.slot);
    const again = await cowSlot(source, { disk: one.disk, mountAtOnce });
    expect(await out(again.slot, "cat /data/file; ls /data /data/sub")).toBe("mine\n/data:\nfile\nnew\nsub\n\n/data/sub:\n");
    expect(readFileSync("/proc/self/mountinfo", "utf8")).not.toContain(`${node.disks}/`);
  });

  it("of a part of a volume shows that part; of a file there is none", async () => {
    const source = newVolume();
    const disk = await newDisk();
    const slot = await node.slot({ ...placesOf(disk), volumes: [cowOf(source, disk, { subpath: "sub" })] });
    expect(await out(slot, "echo x > /data/file; ls /data; cat /data/file")).toBe("deep\nfile\nx\n");
    expect(readFileSync(join(source, "sub/file"), "utf8")).toBe("of sub\n");
    expect(await failureOf(node.slot({ ...placesOf(disk), volumes: [cowOf(source, disk, { subpath: "file" })] }))).toBe(
      "ENOTDIR cow at /data",
    );
  });

  it("of a child holds what its parent and the parent's parent changed, and never what a sibling did", async () => {
    const source = newVolume();
    const freeze = async (disk: string) => {
      const to = join(node.disks, `frozen-${count++}`);
      await node.attach.freeze({ freezer: null, path: disk, to });
      return join(to, "upper");
    };
    const first = await cowSlot(source);
    await run(first.slot.init, "echo first > /data/first; rm /data/file; rm -r /data/sub; mkdir /data/sub; touch /data/sub/first");
    const lowest = await freeze(first.disk);
    const second = await cowSlot(source, { lower: [lowest, testRootfs()] });
    await run(second.slot.init, "echo second > /data/second; rm /data/first; echo back > /data/file; rm -r /data/sub");
    const lower = [await freeze(second.disk), lowest, testRootfs()];
    const [child, sibling] = [await cowSlot(source, { lower }), await cowSlot(source, { lower })];
    await run(sibling.slot.init, "rm /data/second; mkdir /data/sub");
    expect(await out(child.slot, "ls /data; cat /data/file")).toBe("file\nsecond\nback\n");
    expect(await out(sibling.slot, "ls /data /data/sub")).toBe("/data:\nfile\nsub\n\n/data/sub:\n");
    // Changes that the sandbox itself has thrown away are not there again.
    const clean = await cowSlot(source, { lower });
    await run(clean.slot.init, "rm -rf /.banyan");
    await node.attach.kill(clean.slot);
    const anew = await cowSlot(source, { lower, disk: clean.disk });
    expect(await out(anew.slot, "ls /data; cat /data/file; touch /data/goes-on && ls /data/goes-on")).toBe(
      "file\nsub\nof the volume\n/data/goes-on\n",
    );
  });

  it("follows no link that a sandbox has put in the place of its changes", async () => {
    const source = newVolume();
    const outside = join(node.directory, `outside-${count++}`);
    mkdirSync(outside);
    for (const script of [
      `ln -s ${outside} /.banyan`,
      `mkdir /.banyan; ln -s ${outside} /.banyan/cow`,
      `mkdir -p /.banyan/cow; ln -s ${outside} /.banyan/cow/abc`,
    ]) {
      const disk = await newDisk();
      const first = await node.slot(placesOf(disk));
      await run(first.init, script);
      await node.attach.kill(first);
      expect(await failureOf(cowSlot(source, { disk }))).toMatch(/^E(LOOP|NOTDIR) cow directory at \/data$/);
      // As a layer it has nothing for this mount.
      const child = await cowSlot(source, { lower: [join(disk, "upper"), testRootfs()] }).catch(() => null);
      expect(child === null ? "" : await out(child.slot, "cat /data/file")).toMatch(/^(of the volume\n)?$/);
    }
    expect(readdirSync(outside)).toEqual([]);
  });
});

describe("a volume of a sandbox that runs", () => {
  const request = (slot: TestSlot, disk: string, of: VolumeRequest) =>
    node.attach.mount({ pid: slot.pid, startTime: slot.startTime, lower: [testRootfs()], upper: join(disk, "upper"), volume: of });
  const unmount = (slot: TestSlot, mountId: number, force = false) =>
    node.attach.unmount({ pid: slot.pid, startTime: slot.startTime, mountId, force });

  it("comes and goes, in every mode", async () => {
    const source = newVolume();
    const disk = await newDisk();
    const slot = await node.slot(placesOf(disk));
    const before = mountsOf(slot);
    const ids = [
      await request(slot, disk, volume(source, { target: "/rw/a" })),
      await request(slot, disk, volume(source, { target: "/ro", mode: "ro" })),
      await request(slot, disk, cowOf(source, disk, { target: "/cow" })),
    ];
    expect(await out(slot, "echo x > /rw/a/new; cat /ro/new; echo y > /cow/new; cat /ro/new /cow/new; touch /ro/no || echo refused")).toBe(
      "x\nx\ny\nrefused\n",
    );
    for (const id of ids) await unmount(slot, id);
    for (const id of ids) await unmount(slot, id);
    expect(mountsOf(slot)).toBe(before);
    expect(await out(slot, "ls /rw/a /ro /cow")).toBe("/cow:\n\n/ro:\n\n/rw/a:\n");
    await request(slot, disk, cowOf(source, disk, { target: "/cow" }));
    expect(await out(slot, "cat /cow/new; cat /cow/file")).toBe("y\nof the volume\n");
  });

  it("is a `cow` also where the parent had one, and where it has background processes", async () => {
    const source = newVolume();
    const first = await cowSlot(source);
    await run(first.slot.init, "echo parent > /data/new; rm /data/file");
    await first.slot.init.spawn({ id: "of-parent", argv: ["/bin/true"] });
    await node.attach.kill(first.slot);
    const disk = await newDisk();
    const lower = [join(first.disk, "upper"), testRootfs()];
    const slot = await node.slot({ ...placesOf(disk), lower });
    const { pid, startTime } = slot;
    await out(slot, "ls -a / /.banyan");
    await node.attach.mount({ pid, startTime, lower, upper: join(disk, "upper"), volume: cowOf(source, disk) });
    expect(await out(slot, "ls /data; cat /data/new; echo mine > /data/new; cat /data/new")).toBe("new\nsub\nparent\nmine\n");
    await slot.init.spawn({ id: "of-child", argv: ["/bin/sh", "-c", "echo hello"] });
    await eventually(async () => expect(await out(slot, "cat /.banyan/proc/of-child/out")).toBe("hello\n"));
    expect(await out(slot, "ls /.banyan /.banyan/proc")).toBe("/.banyan:\ncow\nproc\n\n/.banyan/proc:\nof-child\nof-parent\n");
  });

  it("is not mounted twice at one place, nor over the kernel's own", async () => {
    const source = newVolume();
    const disk = await newDisk();
    const slot = await node.slot({ ...placesOf(disk), volumes: [volume(source)] });
    for (const target of ["/data", "/data/sub", "/proc", "/proc/self", "/dev", "/dev/shm/x", "/sys/kernel"]) {
      expect(await failureOf(request(slot, disk, volume(source, { target })))).toBe(`EXDEV target at ${target}`);
    }
  });

  it("stays while something uses it, unless by force; and is found where its parent was moved to", async () => {
    const source = newVolume();
    const disk = await newDisk();
    const slot = await node.slot(placesOf(disk));
    const id = await request(slot, disk, volume(source, { target: "/a/b c/data" }));
    await slot.init.spawn({ id: "user", argv: ["/bin/sh", "-c", "cd '/a/b c/data'; exec 3> held; echo ready; sleep 300"] });
    await eventually(async () => expect(await out(slot, "cat /.banyan/proc/user/out")).toBe("ready\n"));
    expect(await out(slot, "mv /a /moved; cat '/moved/b c/data/file'")).toBe("of the volume\n");
    expect(await failureOf(unmount(slot, id))).toBe("EBUSY unmount");
    await unmount(slot, id, true);
    expect(await out(slot, "ls '/moved/b c/data'; ls /proc/$(pgrep sleep)/cwd/file")).toMatch(/^\/proc\/\d+\/cwd\/file\n$/);
    expect(existsSync(join(source, "held"))).toBe(true);
  });

  it("is gone when that is said, whatever the sandbox puts in its place meanwhile", async () => {
    const source = newVolume();
    const disk = await newDisk();
    const slot = await node.slot(placesOf(disk));
    const ids = () => readFileSync(`/proc/${slot.pid}/mountinfo`, "utf8").match(/^\d+/gm)?.map(Number);
    const exchange = `syscall(${process.arch === "x64" ? 316 : 276}, -100, $one, -100, $two, 2)`;
    const swapping = `my ($one, $two) = ("/one", "/two"); $| = 1; ${exchange} == 0 and print "ready"; ${exchange} while 1`;
    for (let round = 0; round < 20; round++) {
      const [id, other] = [
        await request(slot, disk, volume(source, { target: "/one/v" })),
        await request(slot, disk, volume(source, { target: "/two/v" })),
      ];
      await slot.init.spawn({ id: `swap-${round}`, argv: ["/usr/bin/perl", "-e", swapping] });
      await eventually(async () => expect(await out(slot, `cat /.banyan/proc/swap-${round}/out`)).toBe("ready"));
      await unmount(slot, id);
      expect(ids()).not.toContain(id);
      expect(ids()).toContain(other);
      await slot.init.killAll();
      await unmount(slot, other);
      expect(ids()).not.toContain(other);
    }
  });

  it("comes and goes two thousand times, and nothing is left", async () => {
    const source = newVolume();
    const disk = await newDisk();
    const slot = await node.slot(placesOf(disk));
    // Others mount on this host meanwhile.
    const isOurs = (line: string) => line.includes(basename(node.directory));
    const own = () => readFileSync("/proc/self/mountinfo", "utf8").split("\n").filter(isOurs).length;
    const [before, ofHost] = [mountsOf(slot), own()];
    const rounds = Array.from({ length: 8 }, (_, lane) => async () => {
      for (let round = 0; round < 250; round++) {
        const target = `/lane-${lane}`;
        const id = await request(slot, disk, volume(source, { target, mode: round % 2 === 0 ? "rw" : "ro" }));
        await unmount(slot, id);
      }
    });
    await Promise.all(rounds.map((each) => each()));
    expect(mountsOf(slot)).toBe(before);
    expect(own()).toBe(ofHost);
  });
});
