import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { InitClient } from "@banyan/runtime";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { encodeFrame, encodeHeader } from "../../../packages/runtime/src/native/frame.ts";
import { Tag, Type } from "../../../packages/runtime/src/native/wire.ts";

let directory: string;
let server: Server;
let client: InitClient;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "bnyu-"));
  client = new InitClient(join(directory, "init.sock"));
});

afterEach(async () => {
  server?.close();
  rmSync(directory, { recursive: true, force: true });
});

/** An init that a sandbox has taken over: it says what the test likes, to whatever it is asked. */
async function takenOver(say: (socket: Socket) => void): Promise<void> {
  server = createServer((socket) => {
    socket.on("error", () => undefined);
    socket.once("data", () => say(socket));
  });
  await new Promise<void>((resolve) => server.listen(join(directory, "init.sock"), resolve));
}

const exec = { argv: ["true"] };
const started = encodeFrame(Type.Started, [[Tag.Pid, 7]]);
const entry = (size: number) =>
  encodeFrame(Type.Entry, [
    [Tag.Path, "f"],
    [Tag.Type, "f"],
    [Tag.Size, size],
  ]);

describe("an init that lies", () => {
  it.each([
    ["a frame that is too long", encodeHeader(Type.Stdout, 0xffff_ffff), "protocol"],
    ["a frame of no known type", Buffer.concat([started, encodeHeader(111, 0)]), "protocol"],
    ["an exit without a code", Buffer.concat([started, encodeFrame(Type.Exit, [])]), "protocol"],
    ["an exit that is garbage", Buffer.concat([started, encodeHeader(Type.Exit, 3), Buffer.from("abc")]), "protocol"],
    ["an end in the middle of a frame", encodeHeader(Type.Stdout, 100), "connection_lost"],
    ["nothing", Buffer.alloc(0), "connection_lost"],
  ])("by %s ends the command with a clear error", async (_, bytes, code) => {
    await takenOver((socket) => socket.end(bytes));
    await expect(client.exec(exec)).rejects.toMatchObject({ name: "NativeError", code });
  });

  it("by an error in words of its own is heard with a code of ours", async () => {
    await takenOver((socket) =>
      socket.end(
        encodeFrame(Type.Error, [
          [Tag.Errno, 2n ** 40n],
          [Tag.Code, "made_up"],
          [Tag.Message, "x".repeat(100_000)],
        ]),
      ),
    );
    const error = await client.ping().catch((failure: unknown) => failure);
    expect(error).toMatchObject({ code: "errno", errnoName: "" });
    expect((error as Error).message.length).toBeLessThan(5_000);
  });

  it("by more bytes than the entry said breaks a download", async () => {
    const data = Buffer.concat([encodeHeader(Type.Data, 5), Buffer.from("12345")]);
    await takenOver((socket) => socket.end(Buffer.concat([entry(3), data, encodeFrame(Type.Ok, [])])));
    const tree = client.files.treeRead("/");
    await tree.next();
    await expect(tree.next()).rejects.toMatchObject({ code: "protocol" });
  });

  it("by more entries than were asked for is cut off", async () => {
    await takenOver((socket) => socket.end(Buffer.concat([entry(0), entry(0), entry(0), encodeFrame(Type.Ok, [])])));
    await expect(client.files.find("/", { limit: 2 })).rejects.toMatchObject({ code: "protocol" });
  });

  it("by silence is given up after its deadline", async () => {
    await takenOver(() => undefined);
    await expect(client.ping({ deadlineMs: 50 })).rejects.toMatchObject({ code: "timeout" });
    await expect(client.dial(80, { deadlineMs: 50 })).rejects.toMatchObject({ code: "timeout" });
    await expect(client.files.stat("/", { deadlineMs: 50 })).rejects.toMatchObject({ code: "timeout" });
  });

  it("by a flood does not fill the memory of one who reads slowly", async () => {
    let sent = 0;
    const frame = Buffer.concat([encodeHeader(Type.Data, 65_536), Buffer.alloc(65_536)]);
    await takenOver((socket) => {
      socket.write(entry(2 ** 40));
      const more = (): void => {
        do sent += frame.length;
        while (socket.write(frame) && sent < 1e9);
      };
      socket.on("drain", more);
      more();
    });
    const { data } = await client.files.read("/endless");
    for (let i = 0; i < 20; i++) {
      await data.next();
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(sent).toBeLessThan(20_000_000);
    await data.return();
  });
});

it("decodes nothing wrong in C either", () => {
  const source = fileURLToPath(new URL("../../../packages/runtime/native", import.meta.url));
  const report = execFileSync("make", ["-s", "-C", source, "check", `BUILD=${directory}`], { encoding: "utf8" });
  expect(report).toMatch(/frame: \d+ random messages/);
});
