import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { Readable } from "node:stream";
import type { BlobInfo, BlobStore } from "./port.ts";

const LARGE_BYTES = 3 * 1024 * 1024 + 17;
const LISTED = 12;
/** The store's clock and ours; some stores count in seconds. */
const CLOCKS_APART_MS_MAX = 5_000;

async function readAll(stream: Readable | null): Promise<Buffer | null> {
  if (stream === null) return null;
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

/** What every BlobStore promises, as cases that any test runner can run: the port ships its own suite. */
export function blobStoreConformance(make: () => Promise<BlobStore>): { name: string; run: () => Promise<void> }[] {
  const withStore = (name: string, run: (store: BlobStore) => Promise<void>) => ({ name, run: async () => run(await make()) });
  return [
    withStore("gives back the bytes it was given, over many chunks", async (store) => {
      const content = randomBytes(LARGE_BYTES);
      assert.deepEqual(await store.put("layers/large", Readable.from([content.subarray(0, 1_000), content.subarray(1_000)])), {
        sizeBytes: LARGE_BYTES,
      });
      assert.ok((await readAll(await store.get("layers/large")))?.equals(content));
    }),
    withStore("keeps an empty blob apart from none", async (store) => {
      await store.put("empty", Readable.from([]));
      assert.equal((await readAll(await store.get("empty")))?.length, 0);
      assert.equal(await store.has("empty"), true);
    }),
    withStore("answers null for what was never put", async (store) => {
      assert.equal(await store.get("layers/none"), null);
      assert.equal(await store.has("layers/none"), false);
    }),
    withStore("replaces what was there", async (store) => {
      await store.put("name", Readable.from([Buffer.from("first")]));
      await store.put("name", Readable.from([Buffer.from("second")]));
      assert.equal((await readAll(await store.get("name")))?.toString(), "second");
    }),
    withStore("forgets what was deleted, and deletes what is not there", async (store) => {
      await store.put("gone", Readable.from([Buffer.from("x")]));
      await store.delete("gone");
      await store.delete("gone");
      assert.equal(await store.get("gone"), null);
      assert.equal(await store.has("gone"), false);
    }),
    withStore("leaves nothing of a put whose source fails, and keeps what was there", async (store) => {
      await store.put("kept", Readable.from([Buffer.from("before")]));
      async function* failing() {
        yield randomBytes(600_000);
        throw new Error("the source broke");
      }
      await assert.rejects(store.put("kept", Readable.from(failing())));
      assert.equal((await readAll(await store.get("kept")))?.toString(), "before");
    }),
    withStore("takes names with slashes, colons and spaces", async (store) => {
      const name = "layers/sha256:0a b/ü";
      await store.put(name, Readable.from([Buffer.from("named")]));
      assert.equal((await readAll(await store.get(name)))?.toString(), "named");
    }),
    withStore("lists what begins so, with size and time, as long as it is there", async (store) => {
      const before = Date.now() - CLOCKS_APART_MS_MAX;
      const prefix = `listed/${randomBytes(4).toString("hex")}/`;
      const names = Array.from({ length: LISTED }, (_, index) => `${prefix}${index} + ü:&`);
      for (const [index, name] of names.entries()) await store.put(name, Readable.from([Buffer.alloc(index + 1)]));
      await store.put(`un${prefix}else`, Readable.from([Buffer.from("x")]));
      const [gone = "", replaced = "", ...kept] = names;
      await store.delete(gone);
      await store.put(replaced, Readable.from([Buffer.alloc(LARGE_BYTES)]));
      const listed: BlobInfo[] = await Readable.from(store.list(prefix)).toArray();
      assert.deepEqual(listed.map(({ name }) => name).sort(), [replaced, ...kept].sort());
      assert.equal(listed.find(({ name }) => name === replaced)?.sizeBytes, LARGE_BYTES);
      assert.equal(listed.find(({ name }) => name === kept[0])?.sizeBytes, 3);
      for (const { putAt } of listed) assert.ok(putAt >= before && putAt <= Date.now() + CLOCKS_APART_MS_MAX);
    }),
    withStore("lists nothing where there is nothing", async (store) => {
      assert.deepEqual(await Readable.from(store.list("nowhere/")).toArray(), []);
    }),
    withStore("reads at the reader's pace, and can be left half way", async (store) => {
      await store.put("slow", Readable.from([randomBytes(LARGE_BYTES)]));
      const stream = await store.get("slow");
      assert.ok(stream);
      for await (const chunk of stream) {
        assert.ok(chunk.length > 0);
        break;
      }
      assert.equal(stream.destroyed, true);
    }),
  ];
}
