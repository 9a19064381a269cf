import { eventually } from "@banyan/testkit";
import { afterAll, beforeAll, expect, it } from "vitest";
import { WebSocket } from "ws";
import { type Cluster, startCluster } from "./cluster.ts";

let cluster: Cluster;
beforeAll(async () => {
  cluster = await startCluster();
});
afterAll(() => cluster?.stop());

/** What a person at a terminal sees and does. */
class Screen {
  readonly socket: WebSocket;
  shown = "";
  control: Record<string, unknown>[] = [];

  constructor(socket: WebSocket) {
    this.socket = socket;
    socket.on("message", (data, isBinary) => {
      if (isBinary) this.shown += data.toString();
      else this.control.push(JSON.parse(data.toString()));
    });
  }

  type(text: string): void {
    this.socket.send(Buffer.from(text), { binary: true });
  }

  say(control: unknown): void {
    this.socket.send(JSON.stringify(control));
  }

  shows(text: string | RegExp): Promise<unknown> {
    return eventually(() => expect(this.shown).toMatch(text));
  }

  ended(): Promise<number> {
    return new Promise((resolve) => this.socket.on("close", (code) => resolve(code)));
  }
}

function open(query: [string, string][] = [], key = cluster.key): Promise<Screen> {
  return new Promise((resolve, reject) => {
    const parameters = new URLSearchParams([...query, ["api_key", key]]);
    const socket = new WebSocket(`${cluster.url.replace("http:", "ws:")}/v1/sandboxes/${cluster.sandboxId}/pty?${parameters}`);
    const screen = new Screen(socket);
    socket.on("open", () => resolve(screen));
    socket.on("error", reject);
    socket.on("unexpected-response", (_request, response) => {
      response.on("data", (chunk: Buffer) => reject(new Error(chunk.toString())));
    });
  });
}

it("is a terminal with a shell, of the size it was asked for and then resized to", async () => {
  const screen = await open([
    ["cols", "101"],
    ["rows", "31"],
  ]);
  screen.type("tty; stty size; echo $TERM-$FROM_SANDBOX\n");
  await screen.shows(/\/dev\/pts\/\d/);
  await screen.shows("31 101");
  await screen.shows("xterm-256color-yes");
  screen.say({ type: "resize", cols: 77, rows: 22 });
  screen.type("stty size\n");
  await screen.shows("22 77");
  const closed = screen.ended();
  screen.type("exit 5\n");
  expect(await closed).toBe(1000);
  expect(screen.control).toMatchObject([{ type: "exit", exit_code: 5, signal: null, timed_out: false }]);
  await eventually(() => expect(cluster.inUse()).toBe(0));
});

it("passes control keys to what runs in it", async () => {
  const screen = await open();
  screen.type("sleep 6666\n");
  await eventually(async () => expect((await cluster.exec({ shell: "pgrep -fx 'sleep 6666'" })).exit_code).toBe(0));
  screen.type("\x03");
  screen.type("echo after-$?\n");
  await screen.shows("after-130");
  screen.socket.close();
});

it("runs a program instead of a shell, as another user, somewhere else", async () => {
  const screen = await open([
    ["argv", "sh"],
    ["argv", "-c"],
    ["argv", "id -un; pwd; exit 3"],
    ["user", "nobody"],
    ["cwd", "/tmp"],
  ]);
  await screen.ended();
  expect(screen.shown).toBe("nobody\r\n/tmp\r\n");
  expect(screen.control).toMatchObject([{ exit_code: 3 }]);
});

it("carries much output and much input", async () => {
  const screen = await open([["shell", "stty raw -echo; echo ready; head -c 3000000 | wc -c; seq 200000"]]);
  await screen.shows("ready");
  for (let i = 0; i < 30; i++) screen.type("x".repeat(100_000));
  await screen.ended();
  expect(screen.shown).toContain("3000000");
  expect(screen.shown).toContain("199999\n200000\n");
});

it("ends what runs in it when the client leaves", async () => {
  const screen = await open([["shell", "echo on; sleep 9999"]]);
  await screen.shows("on");
  screen.socket.terminate();
  await eventually(async () => expect((await cluster.exec({ shell: "pgrep -fx 'sleep 9999'" })).exit_code).toBe(1));
  await eventually(() => expect(cluster.inUse()).toBe(0));
});

it("is refused with a problem document", async () => {
  await expect(open([["argv", "no-such-shell"]])).rejects.toThrow("exec.not_found");
  await expect(open([["cols", "0"]])).rejects.toThrow("request.invalid");
  await expect(open([["other", "1"]])).rejects.toThrow("request.invalid");
  await expect(
    open([
      ["shell", "sh"],
      ["argv", "sh"],
    ]),
  ).rejects.toThrow("request.invalid");
  await expect(open([], cluster.otherKey)).rejects.toThrow("sandbox.not_found");
  await expect(open([], "bny_wrong")).rejects.toThrow("auth.invalid");
  const plain = await cluster.call("pty");
  expect(plain.status).toBe(422);
});

it("closes on a text frame that is no control message", async () => {
  const screen = await open();
  const closed = screen.ended();
  screen.say({ type: "unknown" });
  expect(await closed).toBe(1003);
});
