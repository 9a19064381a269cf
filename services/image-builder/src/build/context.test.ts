import { Readable } from "node:stream";
import { createGzip, createZstdCompress, gzipSync } from "node:zlib";
import { pack } from "tar-stream";
import { expect, it } from "vitest";
import { readContext } from "./context.ts";
import { type NewHeader, readableOf } from "./tar-streams.ts";

type Entries = (NewHeader | [NewHeader, string])[];

function tarOf(entries: Entries): Readable {
  const tar = pack();
  for (const entry of entries) {
    if (Array.isArray(entry)) tar.entry(entry[0], entry[1]);
    else tar.entry(entry);
  }
  tar.finalize();
  return readableOf(tar);
}

const LIMITS = { bytesMax: 10_000_000, entriesMax: 100 };
const read = (...entries: Entries) => readContext(tarOf(entries), LIMITS);
const problem = (path: string, words: RegExp) => ({
  code: "context.refused",
  details: { ...(path !== "" && { path }), problem: expect.stringMatching(words) },
});

const GOOD: Entries = [
  { name: "./", type: "directory" },
  [{ name: "./src/main.py" }, "print(1)"],
  { name: "src/link.py", type: "symlink", linkname: "../src/main.py" },
  { name: "src/same.py", type: "link", linkname: "src/main.py" },
];

it("lists what is there, directories that have no entry of their own too", async () => {
  const found = await read(...GOOD);
  expect([...found.keys()].toSorted()).toEqual([".", "src", "src/link.py", "src/main.py", "src/same.py"]);
  expect(found.get("src")).toBe("directory");
});

it.each([
  ["gzip", createGzip],
  ["zstd", createZstdCompress],
])("reads %s", async (_name, compress) => {
  expect((await readContext(tarOf(GOOD).pipe(compress()), LIMITS)).size).toBe(5);
});

it.each<[string, Entries[number], string, RegExp]>([
  ["a name that leads upwards", [{ name: "a/../../etc/passwd" }, "x"], "a/../../etc/passwd", /leads out/],
  ["an absolute name", [{ name: "/etc/passwd" }, "x"], "/etc/passwd", /absolute/],
  ["a symlink that leads upwards", { name: "a/l", type: "symlink", linkname: "../../x" }, "a/l", /leads out/],
  ["an absolute symlink", { name: "l", type: "symlink", linkname: "/etc" }, "l", /absolute/],
  ["a hard link out", { name: "l", type: "link", linkname: "../x" }, "l", /leads out/],
  ["a hard link to nothing", { name: "l", type: "link", linkname: "none" }, "l", /hard link to no file/],
  ["a device", { name: "sda", type: "block-device", devmajor: 8, devminor: 0 }, "sda", /block-device/],
  ["a terminal", { name: "tty", type: "character-device", devmajor: 5, devminor: 0 }, "tty", /character-device/],
  ["a fifo", { name: "pipe", type: "fifo" }, "pipe", /fifo/],
  ["a path nobody can have", [{ name: "a".repeat(300) }, "x"], "a".repeat(200), /too long/],
])("refuses %s", async (_name, entry, path, words) => {
  await expect(read([{ name: "fine" }, ""], entry)).rejects.toMatchObject({
    code: "context.refused",
    details: { path, problem: expect.stringMatching(words) },
  });
});

it("refuses what is written through a symlink of its own", async () => {
  const entries: Entries = [{ name: "d", type: "symlink", linkname: "e" }, [{ name: "d/file" }, "x"]];
  await expect(read(...entries)).rejects.toMatchObject(problem("d/file", /through a symlink/));
});

it("refuses more entries than its bound", async () => {
  const entries: Entries = Array.from({ length: 101 }, (_, index) => [{ name: `f${index}` }, ""]);
  await expect(read(...entries)).rejects.toMatchObject(problem("", /more than 100 entries/));
});

it("stops a bomb where its bound is, however small it was sent", async () => {
  const tar = pack();
  tar.entry({ name: "zeros" }, Buffer.alloc(20_000_000));
  tar.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of tar) chunks.push(chunk as Buffer);
  const bomb = gzipSync(Buffer.concat(chunks));
  expect(bomb.length).toBeLessThan(100_000);
  await expect(readContext(Readable.from([bomb]), LIMITS)).rejects.toMatchObject(problem("", /more than 10000000 bytes/));
});

it.each([
  ["no tar", Buffer.alloc(2_000, "hello ")],
  ["a broken gzip", gzipSync(Buffer.alloc(50_000, "a")).subarray(0, 60)],
])("refuses %s", async (_name, bytes) => {
  await expect(readContext(Readable.from([bytes]), LIMITS)).rejects.toMatchObject(problem("", /not a whole tar/));
});
