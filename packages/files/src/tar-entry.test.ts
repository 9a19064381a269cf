import type { Header } from "tar-stream";
import { describe, expect, it } from "vitest";
import { treeEntryOf } from "./tar-entry.ts";

function header(changes: Partial<Header>): Header {
  const base = {
    name: "a",
    size: 0,
    mode: 0o644,
    mtime: new Date(1_000),
    type: "file",
    linkname: "",
    uid: 0,
    gid: 0,
    uname: "",
    gname: "",
    devmajor: 0,
    devminor: 0,
  } as const;
  return { ...base, ...changes };
}

describe("an entry that is unpacked", () => {
  it("has a path below the root, however it was written", () => {
    for (const [name, path] of [
      ["./a/b", "a/b"],
      ["a//b/", "a/b"],
      ["a/./b", "a/b"],
      ["..a/b..", "..a/b.."],
      ["a\nb", "a\nb"],
    ] as const) {
      expect(treeEntryOf(header({ name })).path).toBe(path);
    }
    for (const name of ["./", ".", ""]) expect(treeEntryOf(header({ name, type: "directory" })).path).toBe(".");
  });

  it("has a name of any bytes: UTF-8 where it is, as it is where not", () => {
    const raw = Buffer.from([0x61, 0xff, 0x62]);
    expect(treeEntryOf(header({ name: raw.toString("latin1") }))).toMatchObject({ rawPath: raw });
    expect(treeEntryOf(header({ name: Buffer.from("ü").toString("latin1") }))).not.toHaveProperty("rawPath");
    expect(treeEntryOf(header({ name: Buffer.from("ü").toString("latin1") })).path).toBe("ü");
    expect(treeEntryOf(header({ name: "ü", pax: { path: "ü" } })).path).toBe("ü");
  });

  it("takes owner and time from pax where they are there", () => {
    expect(treeEntryOf(header({ pax: { uid: "4000000000", mtime: "1.5" } }))).toMatchObject({ uid: 4_000_000_000, mtimeMs: 1_500 });
  });

  it("keeps what a symlink says, wherever it points", () => {
    for (const linkname of ["/etc/passwd", "../../x", "b"]) expect(treeEntryOf(header({ type: "symlink", linkname })).link).toBe(linkname);
  });

  it("keeps permission bits only, and the time to the millisecond", () => {
    expect(treeEntryOf(header({ mode: 0o104755, mtime: new Date(1_234) }))).toMatchObject({ mode: 0o4755, mtimeMs: 1_234 });
  });
});

describe("an entry that is refused", () => {
  it.each<[string, Partial<Header>]>([
    ["an absolute path", { name: "/etc/passwd" }],
    ["a path upwards", { name: "a/../../b" }],
    ["a path upwards only", { name: ".." }],
    ["a NUL in the path", { name: "a\0b" }],
    ["a path that is too long", { name: "a/".repeat(2_048) }],
    ["a part that is too long", { name: "a".repeat(256) }],
    ["a file without a name", { name: "./" }],
    ["a block device", { type: "block-device" }],
    ["a character device", { type: "character-device" }],
    ["an old sparse file", { type: null as never }],
    ["a pax sparse file", { pax: { "GNU.sparse.major": "1" } }],
    ["a hard link to an absolute path", { type: "link", linkname: "/etc/shadow" }],
    ["a hard link upwards", { type: "link", linkname: "../x" }],
    ["a symlink to nothing", { type: "symlink", linkname: "" }],
    ["a symlink with content", { type: "symlink", linkname: "x", size: 1 }],
    ["a negative size", { size: -1 }],
    ["a size beyond counting", { size: 2 ** 60 }],
    ["no size", { size: Number.NaN }],
    ["an owner beyond range", { uid: 2 ** 32 }],
  ])("has %s", (_, changes) => {
    expect(() => treeEntryOf(header(changes))).toThrow(/refused/);
  });
});
