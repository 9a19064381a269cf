import type { FileEntry, TreePart } from "@banyan/runtime";
import { extract, type Header } from "tar-stream";
import { expect, it } from "vitest";
import { tarOf } from "./tar-encode.ts";

const plain: FileEntry = { path: "a", type: "file", mode: 0o644, size: 0, mtimeMs: 1_000, uid: 0, gid: 0 };

async function* each(parts: TreePart[]): AsyncGenerator<TreePart> {
  yield* parts;
}

/** Written by us, read by tar-stream. */
async function roundTrip(parts: TreePart[]): Promise<{ header: Header; content: string }[]> {
  const archive = extract();
  const chunks: Uint8Array[] = [];
  for await (const chunk of tarOf(each(parts))) chunks.push(chunk);
  const tar = Buffer.concat(chunks);
  expect(tar.length % 512).toBe(0);
  archive.end(tar);
  const seen: { header: Header; content: string }[] = [];
  for await (const entry of archive) {
    const content: Buffer[] = [];
    for await (const chunk of entry) content.push(Buffer.from(chunk as Uint8Array));
    seen.push({ header: entry.header, content: Buffer.concat(content).toString() });
  }
  return seen;
}

it("keeps files of every length apart", async () => {
  const sizes = [0, 1, 511, 512, 513, 1024];
  const parts = sizes.flatMap((size, i): TreePart[] => [
    { entry: { ...plain, path: `f${i}`, size } },
    ...(size > 0 ? [{ data: Buffer.alloc(size, "x") }] : []),
  ]);
  expect((await roundTrip(parts)).map(({ header, content }) => [header.name, content.length])).toEqual(
    sizes.map((size, i) => [`f${i}`, size]),
  );
});

it("says what a plain header cannot hold in a pax header", async () => {
  const path = `${"d/".repeat(60)}ü`;
  const link = "t".repeat(200);
  const entry: FileEntry = { ...plain, path, type: "symlink", link, uid: 4_000_000_000, gid: 3_000_000, mtimeMs: -1_500 };
  const [seen] = await roundTrip([{ entry }]);
  expect(seen?.header).toMatchObject({
    name: path,
    linkname: link,
    type: "symlink",
    pax: { uid: "4000000000", gid: "3000000", mtime: "-1.5" },
  });
});

it("keeps a mode of nothing, and passes over what a tar cannot hold", async () => {
  const seen = await roundTrip([
    { entry: { ...plain, mode: 0 } },
    { entry: { ...plain, path: "s", type: "socket" } },
    { entry: { ...plain, path: "d", type: "directory" } },
  ]);
  expect(seen.map(({ header }) => [header.name, header.mode])).toEqual([
    ["a", 0],
    ["d/", 0o644],
  ]);
});

it("ends with two empty blocks, also for nothing", async () => {
  expect(await roundTrip([])).toEqual([]);
});
