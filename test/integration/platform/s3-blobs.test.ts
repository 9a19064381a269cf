import { randomBytes } from "node:crypto";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { connect as connectTcp, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { blobStoreConformance, type S3Location, s3Blobs } from "@banyan/bus";
import { forEachAtMost } from "@banyan/service";
import S3rver from "s3rver";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const BUCKET = "banyan";
/** The protocol's own. */
const PAGE_ENTRIES = 1_000;

let directory: string;
let server: S3rver;
let location: S3Location;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), "banyan-s3-"));
  server = new S3rver({ address: "127.0.0.1", port: 0, silent: true, directory, configureBuckets: [{ name: BUCKET, configs: [] }] });
  const { port } = await server.run();
  const keys = { accessKeyId: "S3RVER", secretAccessKey: "S3RVER" };
  location = { endpoint: `http://127.0.0.1:${port}`, region: "us-east-1", bucket: BUCKET, prefix: "cluster-1/", ...keys };
});
afterAll(async () => {
  await server.close();
  rmSync(directory, { recursive: true, force: true });
});

/** Lets so many bytes of each connection's answer through, then cuts it; later connections live longer. */
async function cutting(port: number, firstBytes: number): Promise<{ server: Server; port: number; cuts: () => number }> {
  let budget = firstBytes;
  let cuts = 0;
  const between = createServer((client: Socket) => {
    const upstream = connectTcp(port, "127.0.0.1");
    let left = budget;
    budget *= 2;
    client.pipe(upstream);
    upstream.on("data", (chunk) => {
      if (chunk.length <= left) {
        left -= chunk.length;
        client.write(chunk);
        return;
      }
      cuts++;
      client.write(chunk.subarray(0, left), () => client.resetAndDestroy());
      upstream.destroy();
    });
    upstream.on("error", () => client.destroy()).on("close", () => client.end());
    client.on("error", () => upstream.destroy());
  });
  await new Promise<void>((resolve) => between.listen(0, "127.0.0.1", resolve));
  const address = between.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  return { server: between, port: address.port, cuts: () => cuts };
}

describe("the blob store on S3", () => {
  for (const { name, run } of blobStoreConformance(async () => s3Blobs(location))) it(name, run);

  it("puts what is larger than a part in parts, and leaves none of a put that fails", async () => {
    const store = s3Blobs(location);
    const content = randomBytes(20 * 1024 * 1024 + 5);
    expect(await store.put("layers/parts", Readable.from([content.subarray(0, 100), content.subarray(100)]))).toEqual({
      sizeBytes: content.length,
    });
    expect((await buffer((await store.get("layers/parts")) ?? Readable.from([]))).equals(content)).toBe(true);
    async function* failing() {
      yield randomBytes(18 * 1024 * 1024);
      throw new Error("the source broke");
    }
    await expect(store.put("layers/broken", Readable.from(failing()))).rejects.toMatchObject({ code: "bus.unavailable" });
    expect(await store.has("layers/broken")).toBe(false);
    expect(readdirSync(directory, { recursive: true }).filter((name) => String(name).includes("broken"))).toEqual([]);
  });

  it("goes on where it stopped when connections break in the middle of a read", async () => {
    const content = randomBytes(6 * 1024 * 1024);
    await s3Blobs(location).put("layers/cut", Readable.from([content]));
    const between = await cutting(Number(new URL(location.endpoint).port), 300_000);
    try {
      const store = s3Blobs({ ...location, endpoint: `http://127.0.0.1:${between.port}` });
      expect((await buffer((await store.get("layers/cut")) ?? Readable.from([]))).equals(content)).toBe(true);
      expect(between.cuts()).toBeGreaterThan(2);
    } finally {
      between.server.close();
    }
  });

  it("lists more than the store answers at once", async () => {
    const store = s3Blobs(location);
    const names = Array.from({ length: PAGE_ENTRIES + 1 }, (_, index) => `many/${index}`);
    await forEachAtMost(names, 16, async (name) => void (await store.put(name, Readable.from([]))));
    expect(new Set((await Readable.from(store.list("many/")).toArray()).map(({ name }) => name))).toEqual(new Set(names));
  });

  it("says so when the keys are wrong or nobody is there", async () => {
    const wrong = s3Blobs({ ...location, accessKeyId: "wrong" });
    await expect(wrong.put("x", Readable.from([Buffer.from("x")]))).rejects.toMatchObject({ code: "bus.unavailable" });
    const nobody = s3Blobs({ ...location, endpoint: "http://127.0.0.1:1" });
    await expect(nobody.get("x")).rejects.toMatchObject({ code: "bus.unavailable" });
  });
});
