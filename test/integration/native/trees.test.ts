import {
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "@banyan/kernel";
import { type FileServer, NativeError, openFileServer, type TreePart, UNFINISHED_DIRECTORY } from "@banyan/runtime";
import { eventually } from "@banyan/testkit";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { BINARIES } from "./file-server-binaries.ts";

let scratch: string;
beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), "bnyfs-"));
});
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const BASE = { mode: 0o644, size: 0, mtimeMs: 1_000_000_000_000, uid: 3, gid: 4 };
const directory = (path: string, mode = 0o755): TreePart => ({ entry: { ...BASE, path, type: "directory", mode } });
const link = (path: string, to: string, type: "symlink" | "hardlink" = "symlink"): TreePart => ({
  entry: { ...BASE, path, type, link: to },
});
const file = (path: string, text = path): TreePart[] => [
  { entry: { ...BASE, path, type: "file", size: text.length } },
  { data: Buffer.from(text) },
];

describe.each(BINARIES)("a tree that is whole or not there, %s", (_name, binary) => {
  let init: string;
  let server: FileServer;
  let root: string;
  let count = 0;

  const open = () => openFileServer({ init, root, readOnly: false, socketPath: join(scratch, `${++count}.sock`), clock: systemClock });
  beforeAll(async () => {
    init = await binary(scratch);
    root = mkdtempSync(join(scratch, "root-"));
    server = await open();
  }, 180_000);
  afterAll(() => server?.close());
  beforeEach(() => {
    for (const name of readdirSync(root)) rmSync(join(root, name), { recursive: true, force: true });
  });

  const trees = () => join(root, UNFINISHED_DIRECTORY, "trees");
  const held = (): string[] =>
    readdirSync(root, { recursive: true, encoding: "utf8" })
      .filter((path) => !path.startsWith(UNFINISHED_DIRECTORY))
      .toSorted();
  const unpack = (parts: Iterable<TreePart> | AsyncIterable<TreePart>, path = "/", parents = false) =>
    server.files.treeWrite(path, parts, { whole: true, parents });
  const refusal = async (work: Promise<unknown>): Promise<NativeError> => {
    const thrown = await work.catch((error: unknown) => error);
    if (thrown instanceof NativeError) return thrown;
    throw new Error("it was not refused");
  };

  it("is merged into the directories that are there, and replaces files", async () => {
    mkdirSync(join(root, "a/deep"), { recursive: true });
    writeFileSync(join(root, "a/kept"), "kept");
    writeFileSync(join(root, "a/deep/old"), "old");
    symlinkSync("kept", join(root, "a/link"));
    const parts = [directory("a", 0o750), ...file("a/deep/old", "new"), ...file("a/link"), ...file("b/c/d"), directory("b/c", 0o500)];
    expect(await unpack([...parts, link("b/hard", "b/c/d", "hardlink"), link("a/soft", "/nowhere")])).toEqual({ entries: 7 });
    expect(held()).toEqual(["a", "a/deep", "a/deep/old", "a/kept", "a/link", "a/soft", "b", "b/c", "b/c/d", "b/hard"]);
    expect(["a/kept", "a/deep/old", "a/link", "b/c/d"].map((path) => readFileSync(join(root, path), "utf8"))).toEqual([
      "kept",
      "new",
      "a/link",
      "b/c/d",
    ]);
    expect(statSync(join(root, "b/c/d"))).toMatchObject({ nlink: 2, uid: 3, gid: 4, mtimeMs: BASE.mtimeMs });
    expect(statSync(join(root, "a")).mode & 0o7777).toBe(0o750);
    expect(statSync(join(root, "b/c"))).toMatchObject({ mode: 0o40500, uid: 3, mtimeMs: BASE.mtimeMs });
    expect(readdirSync(trees())).toEqual([]);
  });

  it("may link to what was there before, and name a file twice", async () => {
    writeFileSync(join(root, "before"), "before");
    await unpack([link("again", "before", "hardlink"), ...file("twice", "1"), ...file("twice", "2"), link("before", "before", "hardlink")]);
    expect(statSync(join(root, "before")).nlink).toBe(2);
    expect(readFileSync(join(root, "twice"), "utf8")).toBe("2");
    linkSync(join(root, "twice"), join(root, "other"));
    await unpack(file("twice", "3"));
    expect(readFileSync(join(root, "other"), "utf8")).toBe("2");
  });

  it("is not seen before its end", async () => {
    let goOn = (): void => {};
    const waiting = new Promise<void>((resolve) => {
      goOn = resolve;
    });
    async function* slow(): AsyncGenerator<TreePart> {
      yield* file("first");
      yield* file("large", "x".repeat(1_000_000));
      await waiting;
      yield* file("last");
    }
    const unpacked = unpack(slow(), "/d/e", true);
    const tree = await eventually(() => readdirSync(trees())[0] ?? false);
    await eventually(() => expect(existsSync(join(trees(), tree, "tree/large"))).toBe(true));
    expect((await server.files.list("/")).entries.map(({ path }) => path)).toEqual(["d"]);
    expect((await server.files.list("/d/e")).total).toBe(0);
    // Another one that is unpacked meanwhile takes nothing away from it.
    await unpack(file("other"));
    goOn();
    expect(await unpacked).toEqual({ entries: 3 });
    expect(held()).toEqual(["d", "d/e", "d/e/first", "d/e/large", "d/e/last", "other"]);
    expect(readdirSync(trees())).toEqual([]);
  });

  it.each<[string, string, TreePart[]]>([
    ["a device", "EPERM", [{ entry: { ...BASE, path: "dev", type: "character" } }]],
    ["a way upwards", "EINVAL", file("../up")],
    ["the host's own", "EPERM", file(`${UNFINISHED_DIRECTORY}/x`)],
    ["a symlink on the way", "ENOTDIR", file("out/x")],
    ["a symlink of its own on the way", "ENOTDIR", [link("in", "d"), ...file("in/x")]],
    ["a file where a directory is", "EISDIR", file("d")],
    ["a directory where a file is", "ENOTDIR", [directory("f")]],
    ["a link to nothing", "ENOENT", [link("hard", "nothing", "hardlink")]],
  ])("leaves nothing of itself where it holds %s", async (_what, errnoName, bad) => {
    mkdirSync(join(root, "d"));
    writeFileSync(join(root, "f"), "before");
    symlinkSync("d", join(root, "out"));
    const failure = await refusal(unpack([...file("f", "after"), ...file("d/new"), ...file("new/x"), ...bad, ...file("behind")]));
    expect(failure).toMatchObject({ errnoName, stays: { files: 0, last: null } });
    expect(held()).toEqual(["d", "f", "out"]);
    expect(readFileSync(join(root, "f"), "utf8")).toBe("before");
    expect(readdirSync(trees())).toEqual([]);
  });

  it("leaves nothing of itself where its source fails or its sender is lost, nor directories made above it", async () => {
    async function* broken(): AsyncGenerator<TreePart> {
      yield* file("x");
      throw new Error("the source failed");
    }
    const failure = await refusal(unpack(broken(), "/made/for/it", true));
    expect(failure).toMatchObject({ message: "the source failed", stays: { files: 0, last: null } });
    expect(held()).toEqual([]);
    expect(readdirSync(trees())).toEqual([]);
    const sender = new AbortController();
    async function* cut(): AsyncGenerator<TreePart> {
      yield* file("x", "x".repeat(1_000_000));
      await eventually(() => expect(readdirSync(trees())).toHaveLength(1));
      sender.abort();
      for (;;) yield* file("more");
    }
    await refusal(server.files.treeWrite("/made/for/it", cut(), { whole: true, parents: true, signal: sender.signal }));
    await eventually(() => expect(readdirSync(trees())).toEqual([]));
    await eventually(() => expect(held()).toEqual([]));
  });

  it("says what stays of it where each file goes to its place as it comes", async () => {
    const given = [...file("a"), directory("d"), ...file("d/b"), ...file("../up"), ...file("c")];
    const failure = await refusal(server.files.treeWrite("/", given));
    expect(failure).toMatchObject({ errnoName: "EINVAL", stays: { files: 2, last: "d/b" } });
    expect(held()).toEqual(["a", "d", "d/b"]);
  });

  it("is cleared away where it was left by a process that was killed: with the next one, and at the next start", async () => {
    const left = join(trees(), "0123456789abcdef");
    const leave = (): void => {
      mkdirSync(join(left, "tree/deep"), { recursive: true });
      writeFileSync(join(left, "lock"), "");
      writeFileSync(join(left, "tree/deep/file"), "half");
      mkdirSync(join(trees(), "begun"));
    };
    leave();
    await unpack(file("next"));
    expect(readdirSync(trees())).toEqual([]);
    leave();
    const other = await open();
    await eventually(() => expect(readdirSync(trees())).toEqual([]));
    await other.close();
    expect(held()).toEqual(["next"]);
  });
});
