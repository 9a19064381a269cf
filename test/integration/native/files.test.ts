import { type FileEntry, NativeError, type TreePart } from "@banyan/runtime";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { run, TestNode, type TestSlot } from "./test-slot.ts";

const MB = 1024 * 1024;
const GIGABYTE_TIMEOUT_MS = 300_000;

let node: TestNode;
let slot: TestSlot;

beforeAll(async () => {
  node = await TestNode.start();
  slot = await node.slot({ memoryMb: 128 });
  await run(slot.init, "mkdir /t /outside; chmod 1777 /t");
});

afterAll(() => node.stop());

const files = () => slot.init.files;

async function text(path: string, options: { offset?: number; length?: number; user?: string } = {}): Promise<string> {
  const chunks: Buffer[] = [];
  const { data } = await files().read(path, options);
  for await (const chunk of data) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

async function parts(path: string): Promise<{ entries: FileEntry[]; bytes: Map<string, string>; all: TreePart[] }> {
  const all: TreePart[] = [];
  const entries: FileEntry[] = [];
  const bytes = new Map<string, string>();
  for await (const part of files().treeRead(path)) {
    all.push(part);
    const last = entries.at(-1);
    if ("entry" in part) entries.push(part.entry);
    else if (last) bytes.set(last.path, (bytes.get(last.path) ?? "") + Buffer.from(part.data).toString());
  }
  return { entries, bytes, all };
}

describe("a file", () => {
  it("is written whole, read whole and in part, and described", async () => {
    expect(await files().write("/t/hello", "hello world")).toEqual({ bytes: 11 });
    expect(await text("/t/hello")).toBe("hello world");
    expect(await text("/t/hello", { offset: 6, length: 3 })).toBe("wor");
    expect(await text("/t/hello", { offset: 100 })).toBe("");
    expect(await files().stat("/t/hello")).toMatchObject({ path: "/t/hello", type: "file", size: 11, mode: 0o644, uid: 0, gid: 0 });
  });

  it("keeps its mode and owner when it is replaced", async () => {
    await files().write("/t/kept", "one", { mode: 0o640 });
    await files().chmod("/t/kept", { uid: 33, gid: 44 });
    await files().write("/t/kept", "two");
    expect(await files().stat("/t/kept")).toMatchObject({ mode: 0o640, uid: 33, gid: 44, size: 3 });
  });

  it("is appended to and written into at an offset", async () => {
    await files().write("/t/log", "aaaa");
    await files().write("/t/log", "bb", { append: true });
    await files().write("/t/log", "XX", { offset: 1 });
    expect(await text("/t/log")).toBe("aXXabb");
  });

  it("is refused where one exists and only a new one is wanted", async () => {
    await files().write("/t/only", "1", { exclusive: true });
    await expect(files().write("/t/only", "2", { exclusive: true })).rejects.toMatchObject({ errnoName: "EEXIST" });
    expect(await text("/t/only")).toBe("1");
  });

  it("gets the directories above it when asked", async () => {
    await expect(files().write("/t/p/q/r", "x")).rejects.toMatchObject({ errnoName: "ENOENT" });
    await files().write("/t/p/q/r", "x", { parents: true });
    expect(await text("/t/p/q/r")).toBe("x");
  });

  it("does not change, and nothing is left beside it, when its new content breaks off", async () => {
    await files().mkdir("/t/broken");
    await files().write("/t/broken/file", "before");
    async function* breaks(): AsyncGenerator<Buffer> {
      yield Buffer.alloc(200_000, "x");
      throw new Error("the source failed");
    }
    await expect(files().write("/t/broken/file", breaks())).rejects.toThrow("the source failed");
    expect(await text("/t/broken/file")).toBe("before");
    expect(
      (await run(slot.init, "until [ $(ls -A /t/broken | wc -l) = 1 ]; do :; done; ls -A /t/broken", { timeoutMs: 5_000 })).stdout,
    ).toBe("file\n");
  });

  it("is written through a symlink, also through one that leads nowhere yet", async () => {
    await run(slot.init, "mkdir /t/l; ln -s ../l/target /t/l/dangling; ln -s /t/l/real /t/l/link; echo old > /t/l/real");
    await files().write("/t/l/link", "new");
    await files().write("/t/l/dangling", "made");
    expect((await run(slot.init, "cat /t/l/real /t/l/target; readlink /t/l/link")).stdout).toBe("newmade/t/l/real\n");
  });

  it("is not a directory, a FIFO, a device or a socket", async () => {
    await run(slot.init, "mkfifo /t/fifo; mkdir /t/dir");
    const fails = (errnoName: string) => expect.objectContaining({ errnoName });
    await expect(files().read("/t/fifo")).rejects.toEqual(fails("EINVAL"));
    await expect(files().write("/t/fifo", "x")).rejects.toEqual(fails("EINVAL"));
    await expect(files().write("/t/fifo", "x", { append: true })).rejects.toEqual(fails("EINVAL"));
    await expect(files().read("/dev/zero")).rejects.toEqual(fails("EINVAL"));
    await expect(files().read("/t/dir")).rejects.toEqual(fails("EISDIR"));
    await expect(files().write("/t/dir", "x")).rejects.toEqual(fails("EISDIR"));
  });

  it(
    "of 1 GiB passes both ways without being held in memory, here or inside",
    async () => {
      const chunk = Buffer.alloc(4 * MB, "banyan");
      async function* content(): AsyncGenerator<Buffer> {
        for (let i = 0; i < 256; i++) yield chunk;
      }
      const before = process.memoryUsage().rss;
      let peak = before;
      expect(await files().write("/t/big", content())).toEqual({ bytes: 1024 * MB });
      const { entry, data } = await files().read("/t/big");
      let bytes = 0;
      for await (const part of data) {
        bytes += part.length;
        if (bytes % (64 * MB) < part.length) peak = Math.max(peak, process.memoryUsage().rss);
      }
      expect({ bytes, size: entry.size }).toEqual({ bytes: 1024 * MB, size: 1024 * MB });
      expect(peak - before).toBeLessThan(150 * MB);
      await files().remove("/t/big");
    },
    GIGABYTE_TIMEOUT_MS,
  );

  it("is named by any bytes but NUL and slash", async () => {
    const odd = '/t/new\nline "quotes" \u{1F333}';
    await files().write(odd, "odd");
    expect(await text(odd)).toBe("odd");
    const raw = Buffer.concat([Buffer.from("/t/raw"), Buffer.from([0xff, 0xfe])]);
    await files().write(raw, "raw");
    const listed = (await files().list("/t")).entries.find((entry) => entry.rawPath !== undefined);
    expect(listed?.rawPath).toEqual(raw.subarray(3));
    expect((await files().stat(raw)).size).toBe(3);
    await expect(files().stat("/t/a\0b")).rejects.toThrow(NativeError);
  });

  it("is refused for a path that is relative, missing or too long", async () => {
    await expect(files().stat("etc/passwd")).rejects.toMatchObject({ code: "bad_request" });
    await expect(files().stat("/no/such")).rejects.toMatchObject({ errnoName: "ENOENT" });
    await expect(files().stat(`/${"x".repeat(300)}`)).rejects.toMatchObject({ errnoName: "ENAMETOOLONG" });
    await expect(files().write(`/t/${"y/".repeat(4_000)}z`, "")).rejects.toMatchObject({ errnoName: "ENAMETOOLONG" });
    await expect(files().stat("/etc/passwd/x")).rejects.toMatchObject({ errnoName: "ENOTDIR" });
  });

  it("is out of reach for a user without the right", async () => {
    await expect(files().write("/etc/new", "x", { user: "nobody" })).rejects.toMatchObject({ errnoName: "EACCES" });
    await expect(files().read("/etc/shadow", { user: "nobody" })).rejects.toMatchObject({ errnoName: "EACCES" });
    await files().write("/t/nobodys", "mine", { user: "nobody" });
    expect(await files().stat("/t/nobodys")).toMatchObject({ uid: 65_534 });
  });
});

describe("a directory", () => {
  it("is made, listed in order and in pages, moved and removed", async () => {
    await files().mkdir("/t/d/e", { parents: true, mode: 0o750 });
    for (const name of ["c", "a", "b"]) await files().write(`/t/d/${name}`, name);
    expect((await files().list("/t/d")).entries.map(({ path, type }) => `${path}:${type}`)).toEqual([
      "a:file",
      "b:file",
      "c:file",
      "e:directory",
    ]);
    const page = await files().list("/t/d", { offset: 1, limit: 2 });
    expect({ names: page.entries.map(({ path }) => path), total: page.total }).toEqual({ names: ["b", "c"], total: 4 });
    expect(await files().stat("/t/d/e")).toMatchObject({ mode: 0o750 });
    await files().move("/t/d", "/t/moved");
    await expect(files().remove("/t/moved")).rejects.toMatchObject({ errnoName: "ENOTEMPTY" });
    expect(await files().remove("/t/moved", { recursive: true })).toEqual({ removed: 5 });
    await expect(files().mkdir("/t/x/y")).rejects.toMatchObject({ errnoName: "ENOENT" });
  });

  it("is never the root when it is to be removed", async () => {
    for (const path of ["/", "//", "/.", "/tmp/..", "/tmp/../"]) {
      await expect(files().remove(path, { recursive: true })).rejects.toThrow(NativeError);
    }
    expect(await files().stat("/etc/passwd")).toMatchObject({ type: "file" });
  });

  it("is removed however deep it is, without following what leads out of it", async () => {
    await run(
      slot.init,
      "echo keep > /outside/keep; mkdir /t/deep; ln -s /outside /t/deep/out; cd /t/deep; i=0; while [ $i -lt 1200 ]; do mkdir d; cd -P d; i=$((i+1)); done",
    );
    await files().remove("/t/deep", { recursive: true });
    await expect(files().stat("/t/deep")).rejects.toMatchObject({ errnoName: "ENOENT" });
    expect(await text("/outside/keep")).toBe("keep\n");
  });

  it("changes its rights with all that is in it", async () => {
    await run(slot.init, "mkdir -p /t/r/s; touch /t/r/s/f; ln -s /outside/keep /t/r/s/l");
    await files().chmod("/t/r", { mode: 0o700, uid: 7, recursive: true });
    expect((await run(slot.init, "stat -c '%a %u' /t/r /t/r/s /t/r/s/f; stat -c %u /outside/keep")).stdout).toBe(
      "700 7\n700 7\n700 7\n0\n",
    );
  });

  it("holds many entries", async () => {
    await run(slot.init, "mkdir /t/many; cd /t/many; seq 1 20000 | xargs touch");
    const { entries, total } = await files().list("/t/many", { limit: 5 });
    expect({ total, first: entries[0]?.path, count: entries.length }).toEqual({ total: 20_000, first: "1", count: 5 });
    expect((await files().list("/t/many")).entries).toHaveLength(20_000);
    expect(await files().remove("/t/many", { recursive: true })).toEqual({ removed: 20_001 });
  });

  it("moves onto another only when that is wanted, and not across filesystems", async () => {
    await run(slot.init, "echo a > /t/ma; echo b > /t/mb");
    await expect(files().move("/t/ma", "/t/mb", { exclusive: true })).rejects.toMatchObject({ errnoName: "EEXIST" });
    await files().move("/t/ma", "/t/mb");
    expect(await text("/t/mb")).toBe("a\n");
    await expect(files().move("/t/mb", "/dev/shm/mb")).rejects.toMatchObject({ errnoName: "EXDEV" });
  });
});

describe("a search", () => {
  beforeAll(async () => {
    await run(
      slot.init,
      `
      mkdir -p /t/s/src/deep /t/s/.git; cd /t/s
      printf 'one\\nTwo needle here\\nthree\\n' > src/a.ts; printf 'needle\\nNEEDLE\\n' > src/deep/b.ts
      printf 'needle.*(\\n' > notes.txt; printf 'needle\\0binary' > bin; mkfifo pipe; ln -s /etc/passwd link; ln -s .. src/loop`,
    );
  });

  it("finds names by glob, paths by glob, to a depth and a limit", async () => {
    const find = async (options: Parameters<ReturnType<typeof files>["find"]>[1]) =>
      (await files().find("/t/s", options)).found.map(({ path }) => path).toSorted();
    expect(await find({ glob: "*.ts" })).toEqual(["src/a.ts", "src/deep/b.ts"]);
    expect(await find({ glob: "src/*.ts" })).toEqual(["src/a.ts"]);
    expect(await find({ depth: 1 })).toEqual([".git", "bin", "link", "notes.txt", "pipe", "src"]);
    expect(await files().find("/t/s", { limit: 2 })).toMatchObject({ truncated: true, found: [{}, {}] });
    expect((await files().find("/t/s", { glob: "a.ts", limit: 1 })).truncated).toBe(false);
  });

  it("does not go into /proc and /sys", async () => {
    const { found } = await files().find("/", { glob: "status", limit: 100_000 });
    expect(found.filter(({ path }) => path.startsWith("proc/"))).toEqual([]);
  });

  it("finds lines, and passes over binaries, FIFOs and symlinks", async () => {
    const { found } = await files().grep("/t/s", "need[l]e");
    expect(found.map(({ path, line, column, text }) => `${path}:${line}:${column}:${text}`).toSorted()).toEqual([
      "notes.txt:1:0:needle.*(",
      "src/a.ts:2:4:Two needle here",
      "src/deep/b.ts:1:0:needle",
    ]);
    expect((await files().grep("/t/s", "needle", { ignoreCase: true, glob: "*.ts" })).found).toHaveLength(3);
    expect((await files().grep("/t/s", "needle.*(", { fixed: true })).found).toHaveLength(1);
    expect((await files().grep("/t/s", "NEEDLE.*(", { fixed: true, ignoreCase: true })).found).toHaveLength(1);
    expect((await files().grep("/t/s/src/a.ts", "^three$")).found).toMatchObject([{ line: 3 }]);
    expect(await files().grep("/t/s", "e", { limit: 1 })).toMatchObject({ truncated: true, found: [{}] });
    await expect(files().grep("/t/s", "(")).rejects.toMatchObject({ code: "bad_request" });
  });

  it("survives a pattern made to cost without bound", async () => {
    await expect(files().grep("/t/s", "((((a{1,250}){1,250}){1,250}){1,250})")).rejects.toThrow(NativeError);
    expect((await files().grep("/t/s", "need[l]e", { limit: 1 })).found).toHaveLength(1);
  });

  it("cuts a long line and finds what stands far inside it", async () => {
    await run(slot.init, "head -c 600000 /dev/zero | tr '\\0' x > /t/s/long; printf 'END\\nnext END' >> /t/s/long");
    const { found } = await files().grep("/t/s/long", "END");
    expect(found.map(({ line, column }) => ({ line, column }))).toEqual([
      { line: 1, column: 600_000 },
      { line: 2, column: 5 },
    ]);
    await files().remove("/t/s/long");
  });

  it("replaces text in files, and touches none without a hit", async () => {
    await run(slot.init, "printf 'a.b a.b axb\\n' > /t/s/r1; printf 'nothing\\n' > /t/s/r2; chmod 600 /t/s/r1; touch -d @1000 /t/s/r2");
    expect(await files().replace(["/t/s/r1", "/t/s/r2"], "a.b", "$&\\1")).toEqual({
      files: [
        { path: "/t/s/r1", replacements: 2 },
        { path: "/t/s/r2", replacements: 0 },
      ],
      total: 2,
    });
    expect(await text("/t/s/r1")).toBe("$&\\1 $&\\1 axb\n");
    expect(await files().stat("/t/s/r1")).toMatchObject({ mode: 0o600 });
    expect(await files().stat("/t/s/r2")).toMatchObject({ mtimeMs: 1_000_000 });
    expect((await files().replace(["/t/s/r1"], "[a-z]$", "Z", { regex: true })).total).toBe(1);
    expect(await text("/t/s/r1")).toBe("$&\\1 $&\\1 axZ\n");
    expect((await files().replace(["/t/s/r2"], "x*", "-", { regex: true })).total).toBeGreaterThan(0);
    await expect(files().replace(["/t/s/pipe"], "a", "b")).rejects.toMatchObject({ errnoName: "EINVAL" });
  });
});

describe("a tree", () => {
  it("comes back as it was sent", async () => {
    await run(
      slot.init,
      `
      mkdir -p /t/tree/sub/empty; cd /t/tree; echo content > sub/file; chown 5:6 sub/file; chmod 4751 sub/file
      ln sub/file sub/hard; ln -s /anywhere sub/link; mkfifo sub/fifo; chmod 500 sub/empty; : > zero; head -c 200000 /dev/zero > large
      touch -d '2001-02-03 04:05:06 UTC' sub/file sub/empty sub`,
    );
    const before = await parts("/t/tree");
    expect(await files().treeWrite("/t/copy/of/it", before.all, { parents: true })).toEqual({ entries: before.entries.length });
    const listing =
      "find . -printf '%P %y %m %U %G %s %l %n\\n' | sed 's/ d \\([^ ]* [^ ]* [^ ]*\\) [0-9]*/ d \\1/' | sort; stat -c '%n %Y' sub sub/file sub/empty; md5sum large zero";
    const [one, two] = [await run(slot.init, `cd /t/tree; ${listing}`), await run(slot.init, `cd /t/copy/of/it; ${listing}`)];
    expect(two.stdout.split("\n").slice(1)).toEqual(one.stdout.split("\n").slice(1));
    expect(one.stdout).toContain("sub/file f 4751 5 6 8  2");
  });

  it("cannot be made to write outside of its root", async () => {
    const base = { mode: 0o644, size: 0, mtimeMs: 0, uid: 0, gid: 0 };
    const send = (entries: FileEntry[]) =>
      files().treeWrite(
        "/t/cage",
        entries.map((entry) => ({ entry })),
        { parents: true },
      );
    await expect(send([{ ...base, path: "../../outside/evil", type: "file" }])).rejects.toThrow(NativeError);
    await expect(send([{ ...base, path: "a/../../x", type: "file" }])).rejects.toThrow(NativeError);
    await expect(
      send([
        { ...base, path: "out", type: "symlink", link: "/outside" },
        { ...base, path: "out/evil", type: "file" },
      ]),
    ).rejects.toMatchObject({ errnoName: "ENOTDIR" });
    await expect(send([{ ...base, path: "hard", type: "hardlink", link: "../../etc/shadow" }])).rejects.toThrow(NativeError);
    await expect(send([{ ...base, path: "hard", type: "hardlink", link: "out/keep" }])).rejects.toThrow(NativeError);
    await expect(send([{ ...base, path: "disk", type: "block" }])).rejects.toMatchObject({ errnoName: "EPERM" });
    await send([{ ...base, path: "/etc/inside", type: "file" }]);
    expect((await run(slot.init, "ls /outside /t/cage/etc; ls -d /etc/inside")).stdout).toBe("/outside:\nkeep\n\n/t/cage/etc:\ninside\n");
  });

  it("replaces what stands in a file's place, a symlink by itself", async () => {
    await run(slot.init, "mkdir /t/over; ln -s /outside/keep /t/over/file");
    const entry: FileEntry = { path: "file", type: "file", mode: 0o600, size: 3, mtimeMs: 0, uid: 0, gid: 0 };
    await files().treeWrite("/t/over", [{ entry }, { data: Buffer.from("new") }]);
    expect(await text("/t/over/file")).toBe("new");
    expect(await text("/outside/keep")).toBe("keep\n");
  });
});

it("tells what changes below a directory, new directories included", async () => {
  await run(slot.init, "mkdir -p /t/w/a");
  const seen: string[] = [];
  const watch = await files().watch("/t/w", { recursive: true });
  await run(slot.init, "cd /t/w; echo 1 > a/f; mkdir b; sleep 0.05; echo 2 > b/g; mv b/g b/h; rm a/f; touch end");
  for await (const { path, kind } of watch) {
    seen.push(`${kind} ${path}`);
    if (path === "end") break;
  }
  expect(seen).toEqual(
    expect.arrayContaining([
      "created a/f",
      "modified a/f",
      "created b",
      "created b/g",
      "moved b/g",
      "moved b/h",
      "removed a/f",
      "created end",
    ]),
  );
});
