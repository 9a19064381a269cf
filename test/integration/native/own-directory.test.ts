import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { NativeError, type TreePart } from "@banyan/runtime";
import { eventually } from "@banyan/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { run, TestNode, type TestSlot } from "./test-slot.ts";

let node: TestNode;
let slot: TestSlot;
let volume: string;

/** What is Banyan's in a sandbox: the output of a background process, the changes of a `cow` mount. */
beforeAll(async () => {
  node = await TestNode.start();
  volume = join(node.directory, "volume");
  mkdirSync(join(volume, ".banyan"), { recursive: true });
  writeFileSync(join(volume, ".banyan/theirs"), "of the volume");
  const disk = join(node.disks, "own");
  await node.attach.diskCreate({ path: disk });
  const cow = { name: "abc", work: join(disk, "work.abc") };
  const volumes = [{ mode: "cow", source: volume, subpath: "", target: "/data", cow } as const];
  slot = await node.slot({ upper: join(disk, "upper"), work: join(disk, "work"), volumes });
  await run(slot.init, "mkdir -p /t/d; echo changed > /data/changed; ln -s /.banyan /t/to; ln -s .. /t/up");
  await slot.init.spawn({ id: "background", argv: ["/bin/sh", "-c", "echo output"] });
  await slot.init.waitProcess("background");
});
afterAll(() => node?.stop());

const files = () => slot.init.files;
const errnoOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => "none",
    (error: unknown) => (error instanceof NativeError ? error.errnoName || error.code : String(error)),
  );
const inside = async (): Promise<string> => (await run(slot.init, "cd /.banyan && find . -type f | sort")).stdout;

describe("the host's own directory in a sandbox", () => {
  it("is in no list, tree, search or watch of its files, while a volume's own of that name is", async () => {
    expect(await inside()).toBe("./cow/abc/changed\n./proc/background/err\n./proc/background/out\n");
    expect((await files().list("/")).entries.map(({ path }) => path)).not.toContain(".banyan");
    expect((await files().list("/t/up")).entries.map(({ path }) => path)).not.toContain(".banyan");
    expect((await files().find("/", { glob: "changed" })).found.map(({ path }) => path)).toEqual(["data/changed"]);
    expect((await files().find("/", { glob: "background" })).found).toEqual([]);
    expect((await files().grep("/", "^(output|changed)$", { glob: "[co][hu][at]*" })).found.map(({ path }) => path)).toEqual([
      "data/changed",
    ]);
    for await (const part of files().treeRead("/")) if ("entry" in part) expect(part.entry.path).not.toMatch(/^\.banyan/);
    expect((await files().list("/data/.banyan")).entries.map(({ path }) => path)).toEqual(["theirs"]);
    const watch = await files().watch("/", { recursive: true });
    await slot.init.spawn({ id: "watched", argv: ["/bin/true"] });
    await slot.init.waitProcess("watched");
    await run(slot.init, "touch /.banyan/x; rm /.banyan/x; touch /t/seen");
    const seen: string[] = [];
    for await (const { path } of watch) {
      seen.push(path);
      if (path === "t/seen") break;
    }
    expect(seen.filter((path) => path.startsWith(".banyan"))).toEqual([]);
  });

  it.each(["/.banyan", "//./.banyan/cow", "/.banyan/cow/abc", "/t/to", "/t/to/proc", "/t/up/.banyan", "/proc/self/root/.banyan"])(
    "cannot be read or written as %s",
    async (path) => {
      const before = await inside();
      for (const read of [
        () => files().stat(path),
        () => files().list(path),
        () => files().read(path),
        () => files().find(path),
        () => files().treeRead(path).next(),
      ])
        expect(await errnoOf(read())).toBe("ENOENT");
      expect(await errnoOf(files().watch(path))).toBe("ENOENT");
      const entry = { path: "x", type: "file", mode: 0o644, size: 0, mtimeMs: 0, uid: 0, gid: 0 } as const;
      for (const write of [
        () => files().write(path, "x"),
        () => files().write(path, "x", { append: true, parents: true }),
        () => files().chmod(path, { mode: 0o777, recursive: true }),
        () => files().mkdir(`${path}/new`, { parents: true }),
        () => files().remove(`${path}/abc`, { recursive: true }),
        () => files().move(`${path}/abc`, "/t/mine"),
        () => files().move("/t/d", `${path}/d`),
        () => files().replace([path], "changed", "x"),
        () => files().treeWrite(path, [{ entry }], { whole: true, parents: true }),
      ])
        expect(await errnoOf(write())).toBe("EPERM");
      expect(await inside()).toBe(before);
    },
  );

  it("is neither removed nor moved, alone or with the root", async () => {
    const before = await inside();
    for (const path of ["/", "//", "/.", "/t/..", "/t/up/."])
      expect(await errnoOf(files().remove(path, { recursive: true }))).toBe("EINVAL");
    for (const path of ["/.banyan", "/.banyan/", "/t/up/.banyan"]) {
      expect(await errnoOf(files().remove(path, { recursive: true }))).toBe("EPERM");
      expect(await errnoOf(files().move(path, "/t/mine"))).toBe("EPERM");
      expect(await errnoOf(files().move("/t/d", path))).toBe("EPERM");
    }
    expect(await errnoOf(files().move("/", "/t/root"))).not.toBe("none");
    await files()
      .chmod("/", { mode: 0o755, recursive: true })
      .catch(() => undefined);
    expect((await run(slot.init, "stat -c %a /.banyan")).stdout).toBe("700\n");
    const entry = { path: ".banyan/x", type: "file", mode: 0o644, size: 0, mtimeMs: 0, uid: 0, gid: 0 } as const;
    expect(await errnoOf(files().treeWrite("/", [{ entry }], { whole: true }))).toBe("EPERM");
    expect(await inside()).toBe(before);
    await files().remove("/t/to");
    expect((await run(slot.init, "cat /.banyan/proc/background/out")).stdout).toBe("output\n");
  });

  it("is closed to everybody inside but root", async () => {
    expect((await run(slot.init, "ls /.banyan", { user: "65534" })).stderr).toContain("Permission denied");
  });
});

const file = (path: string, text = path): TreePart[] => [
  { entry: { path, type: "file", mode: 0o644, size: text.length, mtimeMs: 0, uid: 65_534, gid: 65_534 } },
  { data: Buffer.from(text) },
];

describe("a tree that is unpacked in a sandbox", () => {
  const unpack = (path: string, parts: Iterable<TreePart>, user?: string) =>
    files().treeWrite(path, parts, { whole: true, parents: true, ...(user !== undefined && { user }) });

  it("is there whole or not at all, over what the image has and as any user", async () => {
    await run(slot.init, "mkdir -m 777 /t/home; rm -rf /usr/share/doc");
    await unpack("/", [...file("usr/share/doc/new"), ...file("etc/hostname", "x")]);
    expect((await run(slot.init, "ls /usr/share/doc; ls /usr/bin | head -c 1 | wc -c; cat /etc/hostname")).stdout).toBe("new\n1\nx");
    await unpack("/t/home/a", [...file("b/c"), ...file("d")], "65534");
    expect((await run(slot.init, "cat /t/home/a/b/c; stat -c %u /t/home/a/b /t/home/a/d")).stdout).toBe("b/c65534\n65534\n");
    await expect(unpack("/t/home/x/y", [...file("a"), ...file("../up")], "65534")).rejects.toMatchObject({
      stays: { files: 0, last: null },
    });
    await expect(unpack("/t/home", [...file("a/d", "after"), ...file("../up")])).rejects.toMatchObject({ stays: { files: 0, last: null } });
    await expect(unpack("/usr", file("x"), "65534")).rejects.toMatchObject({ errnoName: "EACCES" });
    expect((await run(slot.init, "ls /t/home; cat /t/home/a/d; ls -A /.banyan/trees")).stdout).toBe("a\nd");
  });

  it("goes at once to its place on what is mounted, and what of a refused one stays there is told", async () => {
    const told = { stays: { files: 1, last: "data/there" } };
    await expect(unpack("/", [...file("t/not"), ...file("data/there"), ...file("../up")])).rejects.toMatchObject(told);
    await expect(unpack("/data", [...file("first"), ...file("../up")])).rejects.toMatchObject({ stays: { files: 1, last: "first" } });
    expect((await run(slot.init, "ls /t/not 2>&1 | wc -l; cat /data/there /data/first")).stdout).toBe("1\ndata/therefirst");
    expect(await unpack("/", [...file("t/is"), ...file("data/too")])).toEqual({ entries: 2 });
    expect((await run(slot.init, "cat /t/is /data/too")).stdout).toBe("t/isdata/too");
  });

  it("leaves nothing behind where its handler is killed from inside", async () => {
    async function* parts(): AsyncGenerator<TreePart> {
      yield* file("x", "x".repeat(100_000));
      await eventually(async () => expect((await run(slot.init, "ls /.banyan/trees")).stdout).not.toBe(""));
      // Its own handler too.
      await run(slot.init, "kill -9 $(pgrep -x init | grep -vx 1)").catch(() => undefined);
      for (;;) yield* file("more");
    }
    await expect(files().treeWrite("/t/killed", parts(), { whole: true, parents: true })).rejects.toThrow(NativeError);
    await unpack("/t/next", file("y"));
    expect((await run(slot.init, "ls -A /.banyan/trees; ls /t/next")).stdout).toBe("y\n");
  });
});
