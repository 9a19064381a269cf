import { text } from "node:stream/consumers";
import type { InitClient } from "@banyan/runtime";
import { eventually } from "@banyan/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { count, run, TestNode, type TestSlot } from "./test-slot.ts";

let node: TestNode;
let slot: TestSlot;
let init: InitClient;

beforeAll(async () => {
  node = await TestNode.start();
  slot = await node.slot({ pids: 4_096 });
  init = slot.init;
});

afterAll(() => node.stop());

const env = { PATH: "/usr/sbin:/usr/bin:/sbin:/bin" };
const shell = (script: string) => ({ argv: ["/bin/sh", "-c", script], env });

async function output(
  id: string,
  options: Parameters<InitClient["readOutput"]>[2] & { source?: "stdout" | "stderr" } = {},
): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of init.readOutput(id, options.source ?? "stdout", options)) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

describe("a background process", () => {
  it("runs on after its connection, and its output and end are told", async () => {
    const { pid } = await init.spawn({ id: "simple", ...shell("echo out; echo err >&2; exit 3") });
    expect(pid).toBeGreaterThan(1);
    expect(await init.waitProcess("simple", { timeoutMs: 5_000 })).toMatchObject({ code: 3, signal: null, stdoutBytes: 4, stderrBytes: 4 });
    expect([await output("simple"), await output("simple", { source: "stderr" })]).toEqual(["out\n", "err\n"]);
    const listed = (await init.processes()).find(({ id }) => id === "simple");
    expect(listed).toMatchObject({ pid, running: false, code: 3, signal: null, stdoutBytes: 4, takesStdin: false });
  });

  it("is read on from a byte offset after a dropped connection, to its end", async () => {
    await init.spawn({ id: "counter", ...shell("i=0; while [ $i -lt 300 ]; do i=$((i+1)); echo line $i; sleep 0.002; done") });
    let received = "";
    const giveUp = new AbortController();
    const first = (async () => {
      for await (const chunk of init.readOutput("counter", "stdout", { follow: true, signal: giveUp.signal })) {
        received += chunk;
        if (received.length > 200) giveUp.abort();
      }
    })();
    await expect(first).rejects.toMatchObject({ code: "aborted" });
    received += await output("counter", { follow: true, offset: received.length });
    expect(received).toBe(Array.from({ length: 300 }, (_, i) => `line ${i + 1}\n`).join(""));
  });

  it("is followed from before its first output, and told to be running until it ends", async () => {
    await init.spawn({ id: "late", ...shell("sleep 0.3; echo late"), stdin: false });
    const reader = init.readOutput("late", "stdout", { follow: false });
    expect(await reader.next()).toEqual({ done: true, value: { sizeBytes: 0, running: true } });
    expect(await output("late", { follow: true })).toBe("late\n");
  });

  it("takes input from several senders until it is closed", async () => {
    await init.spawn({ id: "cat", ...shell("cat; echo end"), stdin: true });
    expect(await init.writeStdin("cat", "one\n")).toBe(4);
    expect(await init.writeStdin("cat", Buffer.alloc(300_000, "x"))).toBe(300_000);
    await init.writeStdin("cat", "two\n", { close: true });
    expect(await init.waitProcess("cat", { timeoutMs: 5_000 })).toMatchObject({ code: 0, stdoutBytes: 300_012 });
    expect(await output("cat", { offset: 300_000 })).toBe("xxxxtwo\nend\n");
    await expect(init.writeStdin("cat", "more")).rejects.toMatchObject({ errnoName: "EPIPE" });
  });

  it("holds its sender back when it does not read, and lets it give up", async () => {
    await init.spawn({ id: "deaf", ...shell("sleep 30"), stdin: true });
    const giveUp = new AbortController();
    const sending = init.writeStdin("deaf", Buffer.alloc(1_000_000), { signal: giveUp.signal });
    setTimeout(() => giveUp.abort(), 100);
    await expect(sending).rejects.toMatchObject({ code: "aborted" });
    await init.signalProcess("deaf", "SIGKILL");
    await expect(init.writeStdin("deaf", "x")).rejects.toMatchObject({ errnoName: "EPIPE" });
  });

  it("is signalled alone or with its tree, also after it has ended", async () => {
    await init.spawn({ id: "parent", ...shell("trap 'exit 4' TERM; setsid sleep 4001 & while :; do sleep 0.01; done") });
    await eventually(async () => (await count(init, "^sleep 4001")) === 1);
    await init.signalProcess("parent", "SIGTERM");
    expect(await init.waitProcess("parent", { timeoutMs: 5_000 })).toMatchObject({ code: 4 });
    expect(await count(init, "^sleep 4001")).toBe(1);
    await expect(init.signalProcess("parent", "SIGTERM")).rejects.toMatchObject({ code: "not_found" });
    await init.signalProcess("parent", "SIGKILL", { tree: true });
    await eventually(async () => (await count(init, "^sleep 4001")) === 0);
  });

  it("is killed with its tree at its timeout", async () => {
    await init.spawn({ id: "slow", ...shell("setsid sleep 4002 & sleep 4002"), timeoutMs: 200 });
    expect(await init.waitProcess("slow", { timeoutMs: 5_000 })).toMatchObject({ signal: "SIGKILL", timedOut: true });
    await eventually(async () => (await count(init, "^sleep 4002")) === 0);
  });

  it("is waited for no longer than asked", async () => {
    await init.spawn({ id: "sleeper", ...shell("sleep 30") });
    expect(await init.waitProcess("sleeper", { timeoutMs: 50 })).toBeNull();
    expect(await init.waitProcess("sleeper", { timeoutMs: 0 })).toBeNull();
    await init.signalProcess("sleeper", "SIGINT");
    expect(await init.waitProcess("sleeper")).toMatchObject({ signal: "SIGINT" });
  });

  it("needs a new and valid id, and a command that exists", async () => {
    await init.spawn({ id: "twin", ...shell("sleep 30") });
    await expect(init.spawn({ id: "twin", ...shell("true") })).rejects.toMatchObject({ errnoName: "EEXIST" });
    for (const id of ["", "a/b", "..", "x".repeat(65)])
      await expect(init.spawn({ id, ...shell("true") })).rejects.toMatchObject({ code: "bad_request" });
    await expect(init.spawn({ id: "nothing", argv: ["/nothing"] })).rejects.toMatchObject({ code: "not_found" });
    await init.spawn({ id: "nothing", ...shell("echo again") });
    await expect(init.waitProcess("unknown")).rejects.toMatchObject({ code: "not_found" });
    await init.signalProcess("twin", "SIGKILL");
  });

  it("is not lost when its keeper is killed from inside", async () => {
    const { pid } = await init.spawn({ id: "orphan", ...shell("sleep 0.5; exit 6") });
    await run(init, `kill -9 $(awk '/^PPid/ { print $2 }' /proc/${pid}/status)`);
    expect((await init.processes()).find(({ id }) => id === "orphan")).toMatchObject({ running: true });
    expect(await init.waitProcess("orphan", { timeoutMs: 5_000 })).toMatchObject({ code: 6 });
  });

  it("gives way when the table is full, the oldest ended one first", async () => {
    await init.spawn({ id: "oldest", ...shell("true") });
    await init.waitProcess("oldest");
    for (let at = 0; at < 1_024; at += 64) {
      await Promise.all(Array.from({ length: 64 }, (_, i) => init.spawn({ id: `fill-${at + i}`, argv: ["/bin/true"] })));
    }
    await eventually(async () => (await init.processes()).every(({ id, running }) => !running || !id.startsWith("fill-")));
    const ids = (await init.processes()).map(({ id }) => id);
    expect(ids).toHaveLength(1_024);
    expect(ids).not.toContain("oldest");
    expect(ids).toContain("fill-1023");
    expect((await run(init, "ls /.banyan/proc | wc -l")).stdout.trim()).toBe("1024");
  });

  it("cannot be read through what the sandbox puts in place of its output", async () => {
    await init.spawn({ id: "sly", ...shell("cd /.banyan/proc/sly; rm out err; ln -s /etc/shadow out; mkfifo err; sleep 30") });
    await eventually(async () => (await run(init, "test -p /.banyan/proc/sly/err")).code === 0);
    await expect(output("sly")).rejects.toMatchObject({ errnoName: "ELOOP" });
    await expect(output("sly", { source: "stderr" })).rejects.toMatchObject({ errnoName: "EINVAL" });
    await init.signalProcess("sly", "SIGKILL");
  });
});

describe("a port", () => {
  it("is dialled, both ways and to the end of both", async () => {
    await init.spawn({ id: "echo", argv: ["/usr/bin/python3", "-c", ECHO_SERVER], env });
    const socket = await eventually(() => init.dial(7001));
    const reply = text(socket);
    const sent = "ping ".repeat(100_000);
    socket.end(sent);
    expect(await reply).toBe(sent);
    const silent = await init.dial(7001);
    silent.destroy();
  });

  it("is refused when nobody listens or it is none", async () => {
    await expect(init.dial(7999)).rejects.toMatchObject({ errnoName: "ECONNREFUSED" });
    await expect(init.dial(0)).rejects.toMatchObject({ code: "bad_request" });
    await expect(init.dial(70_000)).rejects.toMatchObject({ code: "bad_request" });
  });

  it("carries an early greeting whole", async () => {
    await init.spawn({ id: "greet", argv: ["/usr/bin/python3", "-c", GREETING_SERVER], env });
    const socket = await eventually(() => init.dial(7002));
    expect(await text(socket)).toBe("hello\n".repeat(1_000));
  });
});

it("kills everything inside at once, and says when it is gone", async () => {
  await init.spawn({ id: "left", ...shell("setsid sleep 5001 & trap '' TERM INT; while :; do sleep 1; done") });
  expect(await init.killAll({ waitMs: 5_000 })).toEqual({ left: 0 });
  expect((await init.processes()).filter(({ running }) => running)).toEqual([]);
  expect(await init.ping()).toMatchObject({ pid: 1 });
});

const ECHO_SERVER = `
import socketserver
class Echo(socketserver.BaseRequestHandler):
    def handle(self):
        while data := self.request.recv(65536): self.request.sendall(data)
class Server(socketserver.ThreadingTCPServer): allow_reuse_address = True; daemon_threads = True
Server(("127.0.0.1", 7001), Echo).serve_forever()`;

const GREETING_SERVER = `
import socket
server = socket.create_server(("127.0.0.1", 7002))
while True:
    peer, _ = server.accept()
    peer.sendall(b"hello\\n" * 1000); peer.close()`;
