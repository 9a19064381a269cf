import { randomBytes } from "node:crypto";
import { Readable } from "node:stream";
import { type Bus, blobStoreConformance, connectBus } from "@banyan/bus";
import { silentLogger } from "@banyan/kernel";
import { MemoryBlobs, startNats, type TestNats } from "@banyan/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

let nats: TestNats;
let bus: Bus;
const connect = () => connectBus({ servers: nats.url, name: "blobs", logger: silentLogger });

beforeAll(async () => {
  nats = await startNats();
  bus = await connect();
});
afterAll(async () => {
  await bus.close();
  await nats.stop();
});

describe("JetStream's blob store", () => {
  it("answers null before anything was ever put", async () => {
    expect(await bus.blobs.get("layers/none")).toBeNull();
  });

  for (const { name, run } of blobStoreConformance(async () => bus.blobs)) it(name, run);

  it("keeps blobs over a kill of the server, and says so when it lost them", async () => {
    const content = randomBytes(2 * 1024 * 1024);
    await bus.blobs.put("kept", Readable.from([content]));
    await nats.restart();
    const again = await connect();
    expect(Buffer.concat((await (await again.blobs.get("kept"))?.toArray()) ?? []).equals(content)).toBe(true);
    await nats.restart({ loseStore: true });
    const after = await connect();
    expect(await after.blobs.has("kept")).toBe(false);
    await Promise.all([again.close(), after.close()]);
  });

  it("goes on where it stopped when the server is killed in the middle of a read", async () => {
    const one = await connect();
    const content = randomBytes(4 * 1024 * 1024);
    await one.blobs.put("broken", Readable.from([content]));
    const read: Buffer[] = [];
    for await (const chunk of (await one.blobs.get("broken")) ?? []) {
      read.push(chunk as Buffer);
      if (read.length === 2) await nats.restart();
    }
    expect(Buffer.concat(read).equals(content)).toBe(true);
    await one.close();
  });

  it("fails a read under way when the blob is deleted", async () => {
    const one = await connect();
    await one.blobs.put("short", Readable.from([randomBytes(4 * 1024 * 1024)]));
    const stream = await one.blobs.get("short");
    const chunks = stream?.[Symbol.asyncIterator]();
    await chunks?.next();
    await one.blobs.delete("short");
    const rest = async (): Promise<void> => {
      while ((await chunks?.next())?.done === false);
    };
    await expect(rest()).rejects.toMatchObject({ code: "bus.unavailable" });
    await one.close();
  });
});

describe("the blob store of tests", () => {
  for (const { name, run } of blobStoreConformance(async () => new MemoryBlobs())) it(name, run);
});
