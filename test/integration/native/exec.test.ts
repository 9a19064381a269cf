import { readFileSync } from "node:fs";
import { cgroupsOf, InitClient, NativeError } from "@banyan/runtime";
import { eventually } from "@banyan/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { collect, count, run, TestNode, type TestSlot } from "./test-slot.ts";

let node: TestNode;
let slot: TestSlot;

beforeAll(async () => {
  node = await TestNode.start();
  slot = await node.slot();
});

afterAll(() => node.stop());

describe("a command", () => {
  it("keeps stdout, stderr and the exit code apart", async () => {
    const result = await run(slot.init, "echo out; echo err >&2; exit 7");
    expect(result).toMatchObject({
      stdout: "out\n",
      stderr: "err\n",
      code: 7,
      signal: null,
      timedOut: false,
      stdoutBytes: 4,
      stderrBytes: 4,
    });
  });

  it("tells the signal that ended it", async () => {
    expect(await run(slot.init, "kill -TERM $$")).toMatchObject({ code: null, signal: "SIGTERM" });
  });

  it("has exactly the environment it was given, and HOME", async () => {
    const { stdout } = await run(slot.init, "exec env");
    expect(stdout.trim().split("\n").toSorted()).toEqual(["HOME=/root", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "PWD=/"].toSorted());
  });

  it.each([
    ["nobody", "65534:65534:"],
    ["1234", "1234:0:"],
    ["1234:5678", "1234:5678:"],
    ["daemon:adm", "1:4:"],
  ])("runs as %s", async (user, expected) => {
    expect((await run(slot.init, 'echo "$(id -u):$(id -g):"', { user })).stdout.trim()).toBe(expected);
  });

  it("is found in PATH, or not, or is not executable", async () => {
    const env = { PATH: "/usr/bin" };
    expect(await slot.init.exec({ argv: ["true"], env })).toMatchObject({ code: 0 });
    await expect(slot.init.exec({ argv: ["no-such-command"], env })).rejects.toMatchObject({ code: "not_found", errnoName: "ENOENT" });
    await expect(slot.init.exec({ argv: ["/etc/passwd"], env })).rejects.toMatchObject({ code: "not_executable", errnoName: "EACCES" });
    await expect(slot.init.exec({ argv: ["/etc"], env })).rejects.toMatchObject({ code: "not_executable" });
    await expect(slot.init.exec({ argv: [""], env })).rejects.toMatchObject({ code: "not_found" });
  });

  it("is refused with the reason when its directory or user does not exist", async () => {
    await expect(slot.init.exec({ argv: ["/bin/true"], cwd: "/nowhere" })).rejects.toMatchObject({ code: "bad_cwd", errnoName: "ENOENT" });
    await expect(slot.init.exec({ argv: ["/bin/true"], user: "nosuch" })).rejects.toMatchObject({ code: "no_such_user" });
    await expect(slot.init.exec({ argv: ["/bin/true"], user: "root:nosuch" })).rejects.toMatchObject({ code: "no_such_user" });
  });

  it("is refused when it cannot be said on the wire or to the kernel", async () => {
    await expect(slot.init.exec({ argv: ["/bin/true", "x".repeat(200_000)] })).rejects.toMatchObject({ errnoName: "E2BIG" });
    await expect(slot.init.exec({ argv: ["/bin/true", "x".repeat(10_000_000)] })).rejects.toThrow(NativeError);
    await expect(slot.init.exec({ argv: ["/bin/true", "a\0b"] })).rejects.toMatchObject({ code: "bad_request" });
  });

  it("takes arguments and variables in odd bytes", async () => {
    const odd = "ünï\n\t'\"\\ \u{1F333}";
    const out = collect();
    const spec = { argv: ["/bin/sh", "-c", 'printf "%s|%s" "$1" "$ODD"', "sh", odd], env: { ODD: odd } };
    await slot.init.exec(spec, { onStdout: out.take });
    expect(out.text()).toBe(`${odd}|${odd}`);
  });

  it("has no descriptor but its three, its own session, and default signals", async () => {
    expect((await run(slot.init, "ls /proc/self/fd | tr '\\n' ' '; ps -o pid=,sid= -p $$")).stdout).toMatch(/^0 1 2 3 +(\d+) +\1\n$/);
    const status = collect();
    const argv = ["/bin/grep", "-hE", "^(Sig(Blk|Ign):|-?[0-9]+$)", "/proc/self/status", "/proc/self/oom_score_adj"];
    await slot.init.exec({ argv }, { onStdout: status.take });
    expect(status.text()).toMatch(/^SigBlk:\s0+\nSigIgn:\s0+\n0\n$/);
  });
});

describe("input and output", () => {
  it("feeds large input while output comes back", async () => {
    const stdin = "0123456789abcdef".repeat(400_000);
    expect((await run(slot.init, "cat | md5sum; wc -c < /dev/null", { stdin })).stdout).toMatch(/^[0-9a-f]{32}/);
    expect((await run(slot.init, "wc -c", { stdin })).stdout.trim()).toBe(String(stdin.length));
  });

  it("does not hang when a command does not read its input", async () => {
    for (let i = 0; i < 30; i++) expect(await run(slot.init, "exit 3", { stdin: "x".repeat(5_000_000) })).toMatchObject({ code: 3 });
    expect(await run(slot.init, "exec 0<&-; sleep 0.2; exit 4", { stdin: "x".repeat(5_000_000) })).toMatchObject({ code: 4 });
  });

  it("gives an empty input when none is sent", async () => {
    expect((await run(slot.init, "wc -c")).stdout.trim()).toBe("0");
  });

  it("cuts output at its bound and counts on", async () => {
    const received = collect();
    const spec = { argv: ["/bin/sh", "-c", "head -c 3000000 /dev/zero; echo end >&2"], env: { PATH: "/bin" }, outputMaxBytes: 100_000 };
    const exit = await slot.init.exec(spec, { onStdout: received.take });
    expect({ received: received.text().length, ...exit }).toMatchObject({
      received: 100_000,
      stdoutBytes: 3_000_000,
      stderrBytes: 4,
      code: 0,
    });
  });

  it("holds the command back while its reader is slow, and loses nothing", async () => {
    let received = 0;
    const onStdout = async (chunk: Buffer): Promise<void> => {
      received += chunk.length;
      await new Promise((resolve) => setImmediate(resolve));
    };
    await slot.init.exec({ argv: ["/usr/bin/head", "-c", "20000000", "/dev/zero"] }, { onStdout });
    expect(received).toBe(20_000_000);
  });

  it("returns at the end of the command though a child holds the pipes, and the child lives on", async () => {
    const result = await run(slot.init, "(while :; do echo tick; sleep 0.01; done) & echo started; exit 0");
    expect(result).toMatchObject({ code: 0 });
    expect(result.stdout).toContain("started\n");
    expect(result.durationUs).toBeLessThan(2_000_000);
    const before = await count(slot.init, "^sleep|while :");
    expect(before).toBeGreaterThan(0);
    await slot.init.killAll({ waitMs: 2_000 });
  });
});

describe("an end by force", () => {
  it("kills what the command started, also what made itself a session of its own", async () => {
    const script = "setsid sh -c 'sleep 1001 & setsid sleep 1002 & wait' & (sleep 1003 &) ; trap '' TERM; sleep 1004";
    const result = await run(slot.init, script, { timeoutMs: 300 });
    expect(result).toMatchObject({ timedOut: true, code: null, signal: "SIGKILL" });
    expect(result.durationUs).toBeLessThan(3_000_000);
    expect(await count(slot.init, "^sleep 100[1-4]")).toBe(0);
  });

  it("comes when the caller gives up", async () => {
    const giveUp = new AbortController();
    const running = slot.init.exec(
      { argv: ["/bin/sh", "-c", "setsid sleep 2001 & sleep 2002"], env: { PATH: "/bin:/usr/bin" } },
      { signal: giveUp.signal },
    );
    await eventually(async () => (await count(slot.init, "^sleep 200[12]")) === 2);
    giveUp.abort();
    await expect(running).rejects.toMatchObject({ code: "aborted" });
    await eventually(async () => (await count(slot.init, "^sleep 200[12]")) === 0);
  });

  it("can be a signal of the caller's choice", async () => {
    const printed = Promise.withResolvers<void>();
    const exec = slot.init.openExec(
      { argv: ["/bin/sh", "-c", "trap 'exit 9' USR1; echo ready; while :; do sleep 0.01; done"], env: { PATH: "/bin" } },
      { onStdout: () => printed.resolve() },
    );
    await printed.promise;
    exec.signal("SIGUSR1");
    expect(await exec.exit).toMatchObject({ code: 9 });
  });
});

describe("a terminal", () => {
  it("is one, has a size, and takes a new one", async () => {
    const screen = collect();
    const spec = { argv: ["/bin/sh"], env: { PATH: "/bin:/usr/bin", PS1: "> ", TERM: "xterm" }, pty: { rows: 33, cols: 101 } };
    const shell = slot.init.openExec(spec, { onStdout: screen.take });
    await shell.write("tty; stty size\n");
    await eventually(() => /\/dev\/pts\/\d+\r\n33 101/.test(screen.text()));
    shell.resize(44, 55);
    await shell.write("stty size\n");
    await eventually(() => screen.text().includes("44 55"));
    await shell.write("sleep 3001\n");
    await eventually(async () => (await count(slot.init, "^sleep 3001")) === 1);
    await shell.write("\x03");
    await shell.write("exit 5\n");
    expect(await shell.exit).toMatchObject({ code: 5, stderrBytes: 0 });
    expect(await count(slot.init, "^sleep 3001")).toBe(0);
  });

  it("delivers all that was written before the command ended", async () => {
    const screen = collect();
    const spec = { argv: ["/bin/sh", "-c", "seq 1 20000"], env: { PATH: "/bin:/usr/bin" }, pty: { rows: 24, cols: 80 } };
    const exit = await slot.init.exec(spec, { onStdout: screen.take });
    expect(exit.code).toBe(0);
    expect(screen.text().trimEnd().split("\r\n").at(-1)).toBe("20000");
  });

  it("ends its programs when the caller hangs up", async () => {
    const shell = slot.init.openExec({
      argv: ["/bin/sh", "-c", "sleep 3002; sleep 3002"],
      env: { PATH: "/bin" },
      pty: { rows: 24, cols: 80 },
    });
    await eventually(async () => (await count(slot.init, "^sleep 3002")) === 1);
    shell.close();
    await expect(shell.exit).rejects.toMatchObject({ code: "aborted" });
    await eventually(async () => (await count(slot.init, "^sleep 3002")) === 0);
  });
});

it("serves 200 commands at once", async () => {
  const wide = await node.slot({ pids: 1_024 });
  const results = await Promise.all(Array.from({ length: 200 }, (_, i) => run(wide.init, `echo ${i}; sleep 0.1`)));
  expect(results.map(({ stdout }) => stdout.trim())).toEqual(Array.from({ length: 200 }, (_, i) => String(i)));
});

describe("a command that is expected", () => {
  /** The handlers of connections are all that stands beside init here. */
  const handlers = () => Number(readFileSync(`${cgroupsOf(quiet.pid).pids}/pids.current`, "utf8")) - 1;
  let quiet: TestSlot;

  beforeAll(async () => {
    quiet = await node.slot();
    await eventually(() => expect(handlers()).toBe(0));
  });

  it("finds its handler waiting, and the next one is not kept for long", async () => {
    quiet.init.expectExec();
    await eventually(() => expect(handlers()).toBe(1));
    expect(await run(quiet.init, "echo here")).toMatchObject({ stdout: "here\n", code: 0 });
    quiet.init.expectExec();
    await eventually(() => expect(handlers()).toBe(1));
    await eventually(() => expect(handlers()).toBe(0));
  });

  it("runs once, by another handler, where the waiting one was killed", async () => {
    for (let ran = 1; ran <= 20; ran++) {
      quiet.init.expectExec();
      await eventually(() => expect(handlers()).toBe(1));
      await quiet.init.killAll();
      // Looked at without a pause: the client has not heard yet that its spare connection is gone.
      while (handlers() > 0);
      expect(await run(quiet.init, "echo >> /tmp/ran; wc -l < /tmp/ran")).toMatchObject({ stdout: `${ran}\n`, code: 0 });
      await eventually(() => expect(handlers()).toBe(0));
    }
  });

  it("has none waiting once the client is closed", async () => {
    const init = new InitClient(quiet.socketPath);
    init.expectExec();
    await eventually(() => expect(handlers()).toBe(1));
    init.close();
    init.expectExec();
    await eventually(() => expect(handlers()).toBe(0));
  });
});
