import {
  chmodSync,
  chownSync,
  existsSync,
  lchownSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { CopyProblem, CopyProgress, VolumeCopyOptions } from "@banyan/sdk";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { startVolumePlane, type VolumePlane } from "./volume-plane.ts";

const MIB = 1024 * 1024;
let plane: VolumePlane;
let here: string;

beforeAll(async () => {
  plane = await startVolumePlane();
});
afterAll(() => plane?.stop());
beforeEach(() => {
  here = mkdtempSync(join(tmpdir(), "bnyhere-"));
  for (const name of readdirSync(plane.root)) rmSync(join(plane.root, name), { recursive: true });
  plane.asked.length = 0;
});
afterEach(() => rmSync(here, { recursive: true }));

const copyIn = (options: VolumeCopyOptions = {}, from = here, to = "/data") => plane.volume.copyIn(from, to, options);
const copyOut = (options: VolumeCopyOptions = {}, from = "/data", to = here) => plane.volume.copyOut(from, to, options);
const there = (path = ""): string => join(plane.root, "data", path);

/** What a tree holds, in a form that can be compared. */
function treeOf(directory: string, path = ""): Record<string, string> {
  const found: Record<string, string> = {};
  for (const name of readdirSync(join(directory, path))) {
    const at = join(path, name);
    const info = lstatSync(join(directory, at), { bigint: true });
    const mode = (info.mode & 0o777n).toString(8);
    if (info.isSymbolicLink()) found[at] = `-> ${readlinkSync(join(directory, at))}`;
    else if (info.isFile()) found[at] = `${mode} ${info.mtimeNs / 1_000_000n} ${readFileSync(join(directory, at), "latin1")}`;
    else Object.assign(found, { [at]: mode }, treeOf(directory, at));
  }
  return found;
}

/** A bit of everything that can be copied. */
function makeTree(directory: string): void {
  mkdirSync(join(directory, "sub/deep"), { recursive: true });
  mkdirSync(join(directory, "empty"), { mode: 0o700 });
  writeFileSync(join(directory, "a.txt"), "a");
  writeFileSync(join(directory, "sub/run.sh"), "#!/bin/sh\n");
  chmodSync(join(directory, "sub/run.sh"), 0o750);
  writeFileSync(join(directory, "sub/deep/ü ß\n.bin"), Buffer.alloc(MIB, 7));
  writeFileSync(join(directory, `sub/${"long".repeat(50)}`), "long");
  writeFileSync(join(directory, "nothing"), "");
  symlinkSync("sub/run.sh", join(directory, "link"));
  symlinkSync("/nowhere", join(directory, "dangling"));
  utimesSync(join(directory, "a.txt"), 1_000, 1_234_567_890.123);
}

describe("into a volume", () => {
  it("copies a tree with modes, times and links, packed; and a second time nothing", async () => {
    makeTree(here);
    const progress: CopyProgress[] = [];
    const first = await copyIn({ onProgress: (seen) => progress.push(seen) });
    expect(first).toEqual({ copied: 10, bytes: MIB + 15, modes: 0, unchanged: 0, deleted: 0, skipped: 0, failed: 0 });
    expect(treeOf(there())).toEqual(treeOf(here));
    expect(plane.asked.filter((asked) => asked === "PUT tar")).toHaveLength(1);
    expect(progress.at(-1)).toEqual({ files: 10, bytes: MIB + 15, filesTotal: 10, bytesTotal: MIB + 15, compared: true, resumed: 0 });
    plane.asked.length = 0;
    expect(await copyIn()).toMatchObject({ copied: 0, bytes: 0, unchanged: 10 });
    expect(plane.asked.filter((asked) => !asked.startsWith("GET"))).toEqual([]);
    expect(statSync(there("a.txt")).uid).toBe(0);
  });

  it("sends only what differs by size, time, mode or kind", async () => {
    makeTree(here);
    await copyIn();
    writeFileSync(join(here, "a.txt"), "other");
    chmodSync(join(here, "sub/run.sh"), 0o700);
    chmodSync(join(here, "empty"), 0o755);
    rmSync(join(here, "link"));
    writeFileSync(join(here, "link"), "a file by now");
    rmSync(join(here, "nothing"));
    mkdirSync(join(here, "nothing"));
    const changes: string[] = [];
    const result = await copyIn({ onChange: ({ kind, path }) => changes.push(`${kind} ${path}`) });
    expect(changes.toSorted()).toEqual(["copy a.txt", "copy link", "copy nothing", "mode empty", "mode sub/run.sh"]);
    expect(result).toMatchObject({ copied: 3, modes: 2, unchanged: 5, failed: 0 });
    expect(treeOf(there())).toEqual(treeOf(here));
  });

  it("removes what is only there when it may, and else leaves it", async () => {
    makeTree(here);
    await copyIn();
    for (const gone of ["sub", "link", "a.txt"]) rmSync(join(here, gone), { recursive: true });
    writeFileSync(join(here, "sub"), "a file where a directory was");
    const problems: CopyProblem[] = [];
    expect(await copyIn({ onProblem: (problem) => problems.push(problem) })).toMatchObject({ copied: 0, deleted: 0, failed: 1 });
    expect(problems).toEqual([{ path: "sub", reason: expect.stringContaining("a directory is in its place") }]);
    expect(existsSync(there("sub/run.sh"))).toBe(true);
    const deleted: string[] = [];
    const onChange = ({ kind, path }: { kind: string; path: string }): unknown => kind === "delete" && deleted.push(path);
    expect(await copyIn({ delete: true, dryRun: true, onChange })).toMatchObject({ copied: 1, deleted: 2 });
    expect(deleted.toSorted()).toEqual(["a.txt", "link"]);
    expect(existsSync(there("sub/run.sh")), "only said").toBe(true);
    expect(await copyIn({ delete: true })).toMatchObject({ copied: 1, deleted: 2, failed: 0 });
    expect(treeOf(there())).toEqual(treeOf(here));
  });

  it("compares by content or by size alone where that was asked for", async () => {
    writeFileSync(join(here, "same"), "1234");
    writeFileSync(join(here, "other"), "1234");
    await copyIn();
    for (const name of ["same", "other"]) utimesSync(join(here, name), 1, 1);
    expect(await copyIn({ sizeOnly: true })).toMatchObject({ copied: 0, unchanged: 2 });
    const before = statSync(there("other")).mtime;
    writeFileSync(there("other"), "4321");
    utimesSync(there("other"), before, before);
    const changes: string[] = [];
    expect(await copyIn({ checksum: true, onChange: ({ path }) => changes.push(path) })).toMatchObject({ copied: 1, unchanged: 1 });
    expect(changes).toEqual(["other"]);
    expect(readFileSync(there("other"), "utf8")).toBe("1234");
  });

  it("names what it cannot copy, and copies the rest", async () => {
    makeTree(here);
    const server = createServer().listen(join(here, "socket"));
    writeFileSync(join(here, "sub/blocked"), "x");
    // In its place lies what a file cannot replace.
    mkdirSync(there("sub/blocked"), { recursive: true });
    const problems: CopyProblem[] = [];
    const result = await copyIn({ onProblem: (problem) => problems.push(problem) });
    server.close();
    expect(result).toMatchObject({ failed: 1, skipped: 1 });
    expect(problems.map(({ path }) => path)).toEqual(["sub/blocked"]);
    expect(readFileSync(there("a.txt"), "utf8")).toBe("a");
    expect(existsSync(there("socket"))).toBe(false);
  });

  it("sends packs of a bounded size, and the rest of a pack in which one is refused", async () => {
    for (let i = 0; i < 6; i++) writeFileSync(join(here, `f${i}`), Buffer.alloc(3 * MIB, i));
    expect(await copyIn()).toMatchObject({ copied: 6, failed: 0 });
    expect(plane.asked.filter((asked) => asked === "PUT tar")).toHaveLength(3);
    const names = [Buffer.from("ok"), Buffer.from([0x66, 0xff, 0x66])];
    for (const name of names) writeFileSync(Buffer.concat([Buffer.from(`${here}/`), name]), "odd");
    expect(await copyIn()).toMatchObject({ copied: 2, failed: 0, unchanged: 6 });
    expect(readdirSync(there(), { encoding: "buffer" }).some((name) => name.equals(names[1] ?? name))).toBe(true);
  });

  it("copies a directory whose name is no text, and again, and all beside it", async () => {
    const odd = Buffer.concat([Buffer.from(`${here}/`), Buffer.from([0x64, 0xff])]);
    mkdirSync(odd);
    writeFileSync(Buffer.concat([odd, Buffer.from("/f")]), "first");
    writeFileSync(join(here, "z"), "after it");
    expect(await copyIn()).toMatchObject({ copied: 3, failed: 0 });
    writeFileSync(Buffer.concat([odd, Buffer.from("/f")]), "second");
    writeFileSync(join(here, "z"), "after that");
    expect(await copyIn()).toMatchObject({ copied: 2, failed: 0 });
    expect(readFileSync(Buffer.concat([Buffer.from(`${there()}/`), Buffer.from([0x64, 0xff]), Buffer.from("/f")]), "utf8")).toBe("second");
    expect(readFileSync(there("z"), "utf8")).toBe("after that");
  });

  it("keeps owners where that was asked for, also of what was copied without", async () => {
    makeTree(here);
    await copyIn();
    chownSync(join(here, "a.txt"), 1_000, 1_001);
    chownSync(join(here, "sub"), 1_002, 1_002);
    lchownSync(join(here, "link"), 1_003, 1_003);
    expect(await copyIn()).toMatchObject({ copied: 0, modes: 0, unchanged: 10 });
    expect(await copyIn({ owners: true })).toMatchObject({ copied: 1, modes: 2, unchanged: 7, failed: 0 });
    const owners = ["a.txt", "sub", "link"].map((path) => [lstatSync(there(path)).uid, lstatSync(there(path)).gid]);
    expect(owners).toEqual([
      [1_000, 1_001],
      [1_002, 1_002],
      [1_003, 1_003],
    ]);
    expect(await copyIn({ owners: true })).toMatchObject({ copied: 0, modes: 0, unchanged: 10 });
  });

  it("says what is not here", async () => {
    await expect(copyIn({}, join(here, "nosuch"))).rejects.toThrow(`there is no ${join(here, "nosuch")} here`);
  });

  it("writes to no version, nor to the volume in its place", async () => {
    writeFileSync(join(plane.root, "kept"), "kept");
    const files = plane.volume.filesAt("v1");
    await expect(files.remove("/kept")).rejects.toThrow(/never changes/);
    await expect(files.write("/kept", "other")).rejects.toThrow(/never changes/);
    await expect(files.upload("/", new Uint8Array(1_024))).rejects.toThrow(/never changes/);
    expect(plane.asked).toEqual([]);
    expect(readFileSync(join(plane.root, "kept"), "utf8")).toBe("kept");
  });

  it("copies one file to a name or into a directory, and what a link names", async () => {
    writeFileSync(join(here, "a.txt"), "a");
    symlinkSync("a.txt", join(here, "link"));
    await copyIn({}, join(here, "a.txt"), "/new/dir/b.txt");
    await copyIn({}, join(here, "link"), "/new/dir");
    await copyIn({}, join(here, "a.txt"), "/slash/");
    expect(readFileSync(join(plane.root, "new/dir/b.txt"), "utf8")).toBe("a");
    expect(readFileSync(join(plane.root, "slash/a.txt"), "utf8")).toBe("a");
    expect(readdirSync(join(plane.root, "new/dir")).toSorted()).toEqual(["b.txt", "link"]);
    expect(lstatSync(join(plane.root, "new/dir/link")).isFile()).toBe(true);
    expect(await copyIn({}, join(here, "a.txt"), "/new/dir/b.txt")).toMatchObject({ copied: 0, unchanged: 1 });
  });
});

describe("out of a volume", () => {
  it("copies a tree with modes, times and links; and a second time nothing", async () => {
    mkdirSync(there());
    makeTree(there());
    writeFileSync(there("large"), Buffer.alloc(20 * MIB, 3));
    chmodSync(there("empty"), 0o500);
    expect(await copyOut()).toMatchObject({ copied: 11, bytes: 21 * MIB + 15, failed: 0 });
    expect(treeOf(here)).toEqual(treeOf(there()));
    plane.asked.length = 0;
    expect(await copyOut()).toMatchObject({ copied: 0, unchanged: 11 });
    expect(plane.asked.filter((asked) => asked === "GET content")).toEqual([]);
  });

  it("fetches only what differs, and removes what is only here when it may", async () => {
    mkdirSync(there());
    makeTree(there());
    await copyOut();
    writeFileSync(there("a.txt"), "other");
    rmSync(there("sub"), { recursive: true });
    symlinkSync("/etc", there("sub"));
    const problems: CopyProblem[] = [];
    expect(await copyOut({ onProblem: (problem) => problems.push(problem) })).toMatchObject({ copied: 1, failed: 1 });
    expect(problems[0]).toMatchObject({ path: "sub" });
    writeFileSync(join(here, "mine"), "mine");
    expect(await copyOut({ delete: true })).toMatchObject({ copied: 1, deleted: 1, failed: 0 });
    expect(treeOf(here)).toEqual(treeOf(there()));
  });

  it("goes on with a file that an interrupted copy has begun, and keeps it from sight until it is whole", async () => {
    mkdirSync(there());
    writeFileSync(there("large"), Buffer.alloc(64 * MIB, 5));
    const leaving = new AbortController();
    const onProgress = ({ bytes }: CopyProgress): void => {
      if (bytes > 0) leaving.abort();
    };
    await expect(copyOut({ signal: leaving.signal, onProgress })).rejects.toThrow(/abort/i);
    const [left = ""] = readdirSync(here);
    expect(left).toMatch(/^\.banyan-part-/);
    const began = statSync(join(here, left)).size;
    expect(began).toBeGreaterThan(0);
    expect(began).toBeLessThan(64 * MIB);
    const seen: number[] = [];
    const resumed = new Set<number>();
    await copyOut({
      onProgress: (progress) => {
        seen.push(progress.bytes);
        resumed.add(progress.resumed);
      },
    });
    expect(
      seen.find((bytes) => bytes > 0),
      "what was here counts from the start",
    ).toBe(began);
    expect([...resumed]).toEqual([0, began]);
    expect(readdirSync(here)).toEqual(["large"]);
    expect(readFileSync(join(here, "large")).equals(Buffer.alloc(64 * MIB, 5))).toBe(true);
  });

  it("follows no link of this machine out of its directory", async () => {
    mkdirSync(there("sub"), { recursive: true });
    writeFileSync(there("sub/a"), "from the volume");
    const outside = mkdtempSync(join(tmpdir(), "bnyout-"));
    symlinkSync(outside, join(here, "sub"));
    await copyOut();
    expect(readdirSync(outside)).toEqual([]);
    expect(readFileSync(join(here, "sub/a"), "utf8")).toBe("from the volume");
    rmSync(outside, { recursive: true });
  });

  it("copies one file, and says what is not there", async () => {
    mkdirSync(there());
    writeFileSync(there("a.txt"), "a");
    await copyOut({}, "/data/a.txt", join(here, "b.txt"));
    await copyOut({}, "/data/a.txt", here);
    expect(readdirSync(here).toSorted()).toEqual(["a.txt", "b.txt"]);
    await expect(copyOut({}, "/data/nosuch")).rejects.toThrow("the volume has no /data/nosuch");
  });
});
