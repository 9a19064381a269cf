import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "@banyan/kernel";
import { type FileServer, InitClient, NativeError, openFileServer, type TreePart } from "@banyan/runtime";
import { eventually } from "@banyan/testkit";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { BINARIES } from "./file-server-binaries.ts";

let scratch: string;
beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), "bnyfs-"));
});
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

describe.each(BINARIES)("a server of files, %s", (_name, binary) => {
  let init: string;
  let server: FileServer;
  let root: string;
  let outside: string;
  let count = 0;

  const open = (readOnly = false) =>
    openFileServer({ init, root, readOnly, socketPath: join(scratch, `${++count}.sock`), clock: systemClock });
  beforeAll(async () => {
    init = await binary(scratch);
    root = mkdtempSync(join(scratch, "root-"));
    outside = mkdtempSync(join(scratch, "outside-"));
    writeFileSync(join(outside, "secret"), "outside");
    server = await open();
  }, 180_000);
  afterAll(() => server?.close());
  beforeEach(() => {
    for (const name of readdirSync(root)) rmSync(join(root, name), { recursive: true, force: true });
  });

  const { files } = { files: () => server.files };
  async function text(path: string): Promise<string> {
    const chunks: Buffer[] = [];
    for await (const chunk of (await files().read(path)).data) chunks.push(chunk);
    return Buffer.concat(chunks).toString();
  }
  const errnoOf = (work: Promise<unknown>): Promise<string> =>
    work.then(
      () => "none",
      (error: unknown) => (error instanceof NativeError ? error.errnoName || error.code : String(error)),
    );

  it("reads and writes below its root", async () => {
    await files().write("/a/b/c", "content", { parents: true, mode: 0o640 });
    expect(readFileSync(join(root, "a/b/c"), "utf8")).toBe("content");
    expect(statSync(join(root, "a/b/c")).mode & 0o7777).toBe(0o640);
    expect(await text("/a/b/c")).toBe("content");
    await files().chmod("/a/b/c", { mtimeMs: 1_234_567_890_250, uid: 7, gid: 8 });
    expect(statSync(join(root, "a/b/c"))).toMatchObject({ mtimeMs: 1_234_567_890_250, uid: 7, gid: 8 });
  });

  it("leads out of its root by no symlink and no `..`", async () => {
    symlinkSync(outside, join(root, "absolute"));
    symlinkSync(`../${outside.slice(scratch.length + 1)}`, join(root, "relative"));
    symlinkSync("../../../../../../..", join(root, "up"));
    mkdirSync(join(root, "d"));
    symlinkSync(join(outside, "new"), join(root, "d/dangling"));
    for (const path of [
      "/absolute/secret",
      "/relative/secret",
      `/up${outside}/secret`,
      `/../../../../..${outside}/secret`,
      `${outside}/secret`,
    ])
      expect(await errnoOf(files().read(path))).toBe("ENOENT");
    expect(await errnoOf(files().write("/d/dangling", "x"))).toBe("ENOENT");
    await files().write("/d/dangling", "inside", { parents: true });
    expect(await errnoOf(files().write("/absolute/secret", "y", { parents: true }))).toMatch(/^(none|ENOENT|EEXIST)$/);
    expect(readdirSync(outside)).toEqual(["secret"]);
    expect(readFileSync(join(outside, "secret"), "utf8")).toBe("outside");
  });

  it("stays inside while directories on the way are swapped for symlinks", async () => {
    mkdirSync(join(root, "here"));
    writeFileSync(join(root, "here/secret"), "inside");
    symlinkSync(outside, join(root, "link"));
    let swapping = true;
    const swapper = (async () => {
      while (swapping) {
        for (const [from, to] of [
          ["here", "kept"],
          ["link", "here"],
          ["here", "link"],
          ["kept", "here"],
        ] as const)
          renameSync(join(root, from), join(root, to));
        await new Promise((resolve) => setImmediate(resolve));
      }
    })();
    for (let round = 0; round < 200; round++) {
      const seen = await text("/here/secret").catch((error: unknown) => (error instanceof NativeError ? "" : Promise.reject(error)));
      expect(["", "inside"]).toContain(seen);
      await files()
        .write("/here/written", "x")
        .catch(() => undefined);
    }
    swapping = false;
    await swapper;
    expect(readdirSync(outside)).toEqual(["secret"]);
  });

  it("takes nothing but files, and no user", async () => {
    const client = new InitClient(join(scratch, `${count}.sock`));
    expect(await client.ping()).toMatchObject({ pid: 1 });
    await expect(client.exec({ argv: ["/bin/true"] })).rejects.toThrow(/only files/);
    await expect(client.killAll()).rejects.toThrow(/only files/);
    await expect(files().stat("/", { user: "root" })).rejects.toThrow(/no users/);
    await expect(files().watch("/")).rejects.toThrow(/only files/);
    expect(server.isAlive).toBe(true);
    client.close();
  });

  it("holds no right but those over files", () => {
    const status = readFileSync(`/proc/${server.pid}/status`, "utf8");
    for (const set of ["CapPrm", "CapEff"]) expect(status).toMatch(new RegExp(`^${set}:\\s+000000000000001b$`, "m"));
    for (const set of ["CapInh", "CapBnd", "CapAmb"]) expect(status).toMatch(new RegExp(`^${set}:\\s+0000000000000000$`, "m"));
    expect(status).toMatch(/^NoNewPrivs:\s+1$/m);
    expect(readlinkSync(`/proc/${server.pid}/root`)).toBe(root);
  });

  it("makes no device, and a tree is unpacked below its root only", async () => {
    const entry = (path: string, more: object) =>
      ({ entry: { path, mode: 0o644, size: 0, mtimeMs: 0, uid: 0, gid: 0, type: "file", ...more } }) as TreePart;
    expect(await errnoOf(files().treeWrite("/", [entry("dev", { type: "character" })]))).toBe("EPERM");
    symlinkSync(outside, join(root, "found"));
    expect(await errnoOf(files().treeWrite("/", [entry("found/evil", {})]))).toBe("ENOTDIR");
    expect(await errnoOf(files().treeWrite("/", [entry("../evil", {})]))).toBe("EINVAL");
    expect(readdirSync(outside)).toEqual(["secret"]);
  });

  describe("the host's own directory in it", () => {
    beforeEach(() => {
      mkdirSync(join(root, ".banyan-unfinished/uploads"), { recursive: true });
      writeFileSync(join(root, ".banyan-unfinished/uploads/u"), "partial");
      mkdirSync(join(root, "deep/.banyan-unfinished"), { recursive: true });
      writeFileSync(join(root, "deep/.banyan-unfinished/f"), "partial, but theirs");
      symlinkSync("/.banyan-unfinished", join(root, "to"));
      symlinkSync(".banyan-unfinished/uploads/new", join(root, "dangling"));
      symlinkSync("../.", join(root, "deep/back"));
    });

    it("is in no list, tree or search", async () => {
      const names = ({ entries }: { entries: { path: string }[] }) => entries.map(({ path }) => path);
      expect(names(await files().list("/"))).toEqual(["dangling", "deep", "to"]);
      expect((await files().list("/")).total).toBe(3);
      expect(names(await files().list("/deep/back"))).toEqual(["dangling", "deep", "to"]);
      expect(names(await files().list("/deep"))).toContain(".banyan-unfinished");
      expect((await files().find("/", { glob: "u" })).found).toEqual([]);
      expect((await files().grep("/", "partial")).found.map(({ path }) => path)).toEqual(["deep/.banyan-unfinished/f"]);
      const seen: string[] = [];
      for await (const part of files().treeRead("/")) if ("entry" in part) seen.push(part.entry.path);
      expect(seen.filter((path) => path.startsWith(".banyan-unfinished"))).toEqual([]);
    });

    it.each([
      "/.banyan-unfinished",
      "/.banyan-unfinished/uploads/u",
      "//.banyan-unfinished//uploads/u",
      "/./.banyan-unfinished/uploads/u",
      "/to",
      "/to/uploads/u",
      "/deep/back/.banyan-unfinished",
      "/deep/../.banyan-unfinished/uploads/u",
    ])("cannot be reached as %s", async (path) => {
      expect(await errnoOf(files().stat(path))).toBe("ENOENT");
      expect(await errnoOf(files().list(path))).toBe("ENOENT");
      expect(await errnoOf(files().read(path))).toBe("ENOENT");
      expect(await errnoOf(files().find(path))).toBe("ENOENT");
      expect(await errnoOf(files().chmod(path, { mode: 0o777 }))).toBe("EPERM");
      expect(await errnoOf(files().write(path, "x"))).toBe("EPERM");
      expect(await errnoOf(files().replace([path], "partial", "gone"))).toBe("EPERM");
      expect(readFileSync(join(root, ".banyan-unfinished/uploads/u"), "utf8")).toBe("partial");
    });

    it("cannot be made, moved, removed or unpacked over", async () => {
      const entry = { path: ".banyan-unfinished/x", type: "file", mode: 0o644, size: 0, mtimeMs: 0, uid: 0, gid: 0 } as const;
      const attempts = [
        () => files().mkdir("/.banyan-unfinished/x", { parents: true }),
        () => files().mkdir("/deep/back/.banyan-unfinished/x", { parents: true }),
        () => files().mkdir("/missing/../.banyan-unfinished/x", { parents: true }),
        () => files().write("/dangling", "x"),
        () => files().write("/dangling", "x", { append: true }),
        () => files().write("/to/uploads/new", "x", { parents: true }),
        () => files().move("/.banyan-unfinished", "/mine"),
        () => files().move("/deep", "/.banyan-unfinished"),
        () => files().move("/deep/.banyan-unfinished/f", "/to/uploads/u"),
        () => files().remove("/.banyan-unfinished", { recursive: true }),
        () => files().remove("/to/uploads", { recursive: true }),
        () => files().treeWrite("/", [{ entry }]),
        () => files().treeWrite("/deep/back", [{ entry }]),
        () => files().treeWrite("/to", [{ entry: { ...entry, path: "x" } }], { parents: true }),
      ];
      for (const attempt of attempts) expect(await errnoOf(attempt())).toBe("EPERM");
      expect(readdirSync(join(root, ".banyan-unfinished"), { recursive: true })).toEqual(["uploads", "uploads/u"]);
      rmSync(join(root, ".banyan-unfinished"), { recursive: true });
      for (const attempt of attempts.slice(0, 6)) expect(await errnoOf(attempt())).toBe("EPERM");
      expect(existsSync(join(root, ".banyan-unfinished"))).toBe(false);
    });

    it("may be reached by the host's own requests, and a symlink to it is like any other", async () => {
      await files().write("/.banyan-unfinished/uploads/u", "ly", { offset: 5, own: true, sync: true });
      expect(readFileSync(join(root, ".banyan-unfinished/uploads/u"), "utf8")).toBe("partily");
      await files().move("/.banyan-unfinished/uploads/u", "/done", { own: true, sync: true });
      expect(await text("/done")).toBe("partily");
      expect((await files().stat("/to", { noFollow: true })).type).toBe("symlink");
      await files().move("/to", "/there");
      await files().remove("/there");
      expect(existsSync(join(root, "there"))).toBe(false);
    });
  });

  it("only reads where it was told so", async () => {
    writeFileSync(join(root, "f"), "kept");
    const reading = await open(true);
    expect((await reading.files.stat("/f")).size).toBe(4);
    for (const write of [
      () => reading.files.write("/f", "x"),
      () => reading.files.remove("/f"),
      () => reading.files.mkdir("/d"),
      () => reading.files.move("/f", "/g"),
      () => reading.files.chmod("/f", { mode: 0 }),
      () => reading.files.replace(["/f"], "kept", "x"),
      () => reading.files.treeWrite("/", []),
    ])
      expect(await errnoOf(write())).toBe("EROFS");
    expect(readFileSync(join(root, "f"), "utf8")).toBe("kept");
    await reading.close();
  });

  it("says so where there is nothing to serve", async () => {
    const socketPath = join(scratch, "none.sock");
    await expect(
      openFileServer({ init, root: join(scratch, "absent"), readOnly: false, socketPath, clock: systemClock }),
    ).rejects.toMatchObject({
      code: "volume.unreachable",
    });
    expect(existsSync(socketPath)).toBe(false);
  });

  it("ends when closed, and leaves no half of a file whose writer is lost", async () => {
    const other = await open();
    async function* endless(): AsyncGenerator<Uint8Array> {
      for (;;) yield Buffer.alloc(65_536);
    }
    const writing = new AbortController();
    const written = other.files.write("/half", endless(), { signal: writing.signal });
    await eventually(() => expect(readdirSync(root)).toHaveLength(1));
    await other.close();
    expect(other.isAlive).toBe(false);
    writing.abort();
    await expect(written).rejects.toThrow();
    await eventually(() => expect(readdirSync(root)).toEqual([]));
  });
});
