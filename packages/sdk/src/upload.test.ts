import { createHash, randomBytes } from "node:crypto";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, expect, it } from "vitest";
import { Banyan } from "./index.ts";

const MIB = 1024 * 1024;
const closing: (() => void)[] = [];
afterEach(() => {
  for (const close of closing.splice(0)) close();
});

interface Parts {
  volume: ReturnType<Banyan["volumes"]["at"]>;
  /** What arrived. */
  content: Buffer[];
  begun: object[];
  /** Each part as it was asked for, and how it is answered; undefined: taken. */
  asked: number[];
  answers: (object | "hang up" | undefined)[];
  completed: number;
}

/** Takes parts in order, and answers as it is told. */
async function partsServer(before = 0): Promise<Parts> {
  const state: Omit<Parts, "volume"> = { content: [], begun: [], asked: [], answers: [], completed: 0 };
  let offset = before;
  let size = 0;
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const body = Buffer.concat(chunks);
    const url = new URL(request.url ?? "", "http://x");
    const reply = (status: number, json: object): void =>
      void response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(json));
    const upload = () => ({ id: "upl_1", path: "/a", size, offset, part_bytes_max: 16 * MIB, state: "open" });
    if (request.method === "POST" && url.pathname.endsWith("/uploads")) {
      state.begun.push(JSON.parse(body.toString()));
      size = JSON.parse(body.toString()).size;
    } else if (request.method === "POST") state.completed++;
    else if (request.method === "GET") size = 20 * MIB;
    else {
      const at = Number(url.searchParams.get("offset"));
      state.asked.push(at);
      const answer = state.answers.shift();
      if (answer === "hang up") return void request.socket.destroy();
      if (answer !== undefined)
        return reply(400, { detail: "d", retryable: false, retry_after_ms: null, fix: "f", request_id: "r", details: {}, ...answer });
      expect(createHash("sha256").update(body).digest("hex")).toBe(url.searchParams.get("sha256"));
      expect(at).toBe(offset);
      state.content.push(body);
      offset += body.length;
    }
    reply(200, upload());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  closing.push(() => server.close());
  const banyan = new Banyan({ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, apiKey: "k" });
  return Object.assign(state, { volume: banyan.volumes.at("data") });
}

const bytes = new Uint8Array(randomBytes(20 * MIB));
const equal = (parts: Buffer[], wanted: Uint8Array): boolean => Buffer.concat(parts).equals(wanted);

it("sends a file in parts, each with its checksum, and completes it once", async () => {
  const server = await partsServer();
  const progress: number[] = [];
  const options = { mode: "0755", modifiedAt: new Date(1_000), onProgress: ({ sent }: { sent: number }) => progress.push(sent) };
  expect(await server.volume.upload("/a", bytes, options)).toEqual({ path: "/a", size: bytes.length });
  expect(server.begun).toEqual([{ path: "/a", size: bytes.length, mode: "0755", modified_at: "1970-01-01T00:00:01.000Z" }]);
  expect(server.asked).toEqual([0, 8 * MIB, 16 * MIB]);
  expect(equal(server.content, bytes)).toBe(true);
  expect(progress).toEqual([0, 8 * MIB, 16 * MIB, 20 * MIB]);
  expect(server.completed).toBe(1);
});

it("sends an empty file without a part", async () => {
  const server = await partsServer();
  await server.volume.upload("/a", new Uint8Array(0));
  expect(server).toMatchObject({ asked: [], completed: 1 });
});

it("sends a part again that was damaged or lost on its way", async () => {
  const server = await partsServer();
  server.answers = [{ code: "upload.checksum_mismatch" }, undefined, "hang up"];
  await server.volume.upload("/a", new Blob([bytes]));
  expect(server.asked).toEqual([0, 0, 8 * MIB, 8 * MIB, 16 * MIB]);
  expect(equal(server.content, bytes)).toBe(true);
});

it("goes on past a part that was taken and not answered, and gives up where the server stands elsewhere", async () => {
  const taken = await partsServer();
  taken.answers = [{ code: "upload.out_of_order", details: { offset: 20 * MIB } }];
  await taken.volume.upload("/a", bytes.subarray(0, MIB));
  expect(taken.completed).toBe(1);
  const elsewhere = await partsServer();
  elsewhere.answers = [{ code: "upload.out_of_order", details: { offset: 5 } }];
  await expect(elsewhere.volume.upload("/a", bytes)).rejects.toMatchObject({ code: "upload.out_of_order" });
  expect(elsewhere.completed).toBe(0);
});

it.each(["bytes", "stream"])("goes on where an upload of %s was broken off", async (kind) => {
  const server = await partsServer(9 * MIB);
  const source = kind === "bytes" ? bytes : new Blob([bytes]).stream();
  await server.volume.upload("/a", source, { size: bytes.length, uploadId: "upl_1" });
  expect(server.begun).toEqual([]);
  expect(server.asked).toEqual([9 * MIB, 17 * MIB]);
  expect(equal(server.content, bytes.subarray(9 * MIB))).toBe(true);
});

it("asks for the size of a stream, and notices one that ends too early", async () => {
  const server = await partsServer();
  const stream = () => new Blob([bytes.subarray(0, 10)]).stream();
  await expect(server.volume.upload("/a", stream())).rejects.toThrow("give `size`");
  await expect(server.volume.upload("/a", stream(), { size: 11 })).rejects.toThrow("1 bytes too early");
  expect(server.completed).toBe(0);
});
