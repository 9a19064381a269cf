import type { NativeError } from "@banyan/runtime";
import { eventually } from "@banyan/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { run, TestNode, type TestSlot } from "./test-slot.ts";

const MB = 1024 * 1024;

let node: TestNode;

beforeAll(async () => {
  node = await TestNode.start();
});

afterAll(() => node.stop());

describe("PID 1", () => {
  let slot: TestSlot;
  beforeAll(async () => {
    slot = await node.slot();
  });

  it("cannot be killed, stopped or traced from inside", async () => {
    for (const signal of ["KILL", "STOP", "TERM", "INT", "HUP", "SEGV", "CHLD"]) await run(slot.init, `kill -${signal} 1`);
    expect(await slot.init.ping()).toMatchObject({ pid: 1 });
    const peek = await run(
      slot.init,
      "cat /proc/1/environ; cat /proc/1/maps; head -c 1 /proc/1/mem; readlink /proc/1/fd/3;  readlink /proc/1/root /proc/1/exe; echo done",
    );
    expect(peek.stdout).toBe("done\n");
    const trace = `import ctypes; libc = ctypes.CDLL(None, use_errno=True); print(libc.ptrace(16, 1, 0, 0), libc.ptrace(0x4206, 1, 0, 0))`;
    expect((await run(slot.init, `python3 -c '${trace}'`)).stdout.trim()).toBe("-1 -1");
  });

  it("is out of reach from the first command on, also by way of what lies above the root", async () => {
    for (let i = 0; i < 5; i++) {
      const fresh = await node.emptySlot();
      await node.attachTo(fresh);
      expect((await run(fresh.init, "ls -d /../init /../new /../run/banyan; cd -P /..; ls -d init")).stdout).toBe("");
    }
  });

  it("cannot be reached from inside: its socket, its old root and its mounts are gone", async () => {
    const look =
      "ls /run/banyan /new /init 2>&1 | grep -v 'No such'; grep -c -E 'run/banyan|/new' /proc/self/mountinfo; ls /proc/1/cwd/ 2>/dev/null";
    expect((await run(slot.init, look)).stdout.trim()).toBe("0");
  });

  it("goes on when everything it can lose is killed or stopped", async () => {
    const lost = run(slot.init, "sleep 30");
    await eventually(async () => (await run(slot.init, "pgrep -c sleep")).code === 0);
    const killer = run(slot.init, "trap '' HUP; kill -9 -1").catch((error: unknown) => error);
    await expect(lost).rejects.toMatchObject({ code: "connection_lost" });
    expect(await killer).toMatchObject({ code: "connection_lost" });
    expect((await run(slot.init, "echo again")).stdout).toBe("again\n");
    const stopper = await run(slot.init, "for i in 1 2 3 4 5; do kill -STOP -1; done; echo stopped");
    expect(stopper.stdout).toBe("stopped\n");
  });

  it("has no more rights than a slot has, and what it starts has no more", async () => {
    const { stdout } = await run(slot.init, "grep -E '^(CapEff|CapBnd|NoNewPrivs|Seccomp):' /proc/self/status");
    expect(stdout).toMatch(/CapEff:\t00000000000004fb\nCapBnd:\t00000000000004fb\nNoNewPrivs:\t1\nSeccomp:\t2\n/);
    expect(
      (await run(slot.init, "mount -t tmpfs x /mnt; unshare -U true; mknod /dev/sda b 8 0; umount /proc; hostname evil")).code,
    ).not.toBe(0);
  });
});

it("ends a fork bomb within its bound, and answers or says why not meanwhile", async () => {
  const slot = await node.slot({ pids: 128 });
  const word = (error: NativeError) => `${error.code} ${error.errnoName}`.trim();
  // It goes on where a fork is refused, so the bound stays full; the shell's own bomb dies out by itself on a quick machine.
  const forever = "import os\nwhile True:\n  try: os.fork()\n  except OSError: pass";
  const bomb = run(slot.init, `exec python3 -c '${forever}'`, { timeoutMs: 3_000 }).catch((error: unknown) => error);
  const pings = new Set<string>();
  const commands = new Set<string>();
  // A hundred rounds, and as many more as the bomb needs to fill its bound.
  for (let i = 0; i < 100 || (i < 5_000 && !commands.has("too_many EAGAIN")); i++) {
    pings.add(await slot.init.ping().then(({ pid }) => `pid ${pid}`, word));
    commands.add(await run(slot.init, "true").then(() => "ran", word));
  }
  expect([...pings]).toEqual(["pid 1"]);
  expect([...commands].filter((answer) => !["ran", "too_many EAGAIN"].includes(answer))).toEqual([]);
  expect(commands).toContain("too_many EAGAIN");
  await bomb;
  await eventually(async () => (await slot.init.killAll({ waitMs: 1_000 })).left === 0);
  expect((await run(slot.init, "echo free")).stdout).toBe("free\n");
});

it("loses only the command that takes all memory", async () => {
  const slot = await node.slot({ memoryMb: 64 });
  expect(await run(slot.init, "exec python3 -c 'x = bytearray(1 << 30)'")).toMatchObject({ code: null, signal: "SIGKILL" });
  expect((await run(slot.init, "echo alive")).stdout).toBe("alive\n");
});

it("answers what the disk says when it is full, and works again when there is room", async () => {
  const slot = await node.slot({ diskBytes: 32 * MB });
  const { files } = slot.init;
  const full = expect.objectContaining({ errnoName: "EDQUOT" });
  await expect(files.write("/big", Buffer.alloc(64 * MB, 1))).rejects.toEqual(full);
  expect((await run(slot.init, "dd if=/dev/zero of=/fill bs=1M; ls /; echo ran")).stdout).toContain("ran\n");
  await expect(files.write("/more", Buffer.alloc(64 * MB, 1))).rejects.toEqual(full);
  expect((await files.list("/")).entries.map(({ path }) => path)).not.toContain("big");
  expect((await files.list("/")).entries.filter(({ path }) => path.startsWith(".banyan-"))).toEqual([]);
  await run(slot.init, "rm -f /fill");
  await eventually(() => files.write("/small", "fits"));
});

it("keeps a file operation inside, wherever a symlink points", async () => {
  const slot = await node.slot();
  const { files } = slot.init;
  await run(
    slot.init,
    "ln -s /../../../../etc/hostname /up; ln -s /proc/1/root/etc /viainit; ln -s /proc/self/root/etc /viaself; ln -s loop /loop",
  );
  await files.write("/up", "inside");
  expect((await run(slot.init, "cat /etc/hostname")).stdout).toBe("inside");
  await expect(files.list("/viainit")).rejects.toMatchObject({ errnoName: "EACCES" });
  await expect(files.stat("/loop")).rejects.toMatchObject({ errnoName: "ELOOP" });
  await expect(files.write("/loop", "x")).rejects.toMatchObject({ errnoName: "ELOOP" });
});

it("refuses what breaks the protocol and serves the next", async () => {
  const slot = await node.slot();
  const { connect } = await import("node:net");
  const { text } = await import("node:stream/consumers");
  const socketPath = `${slot.socketPath}`;
  const garbage = [
    Buffer.alloc(5),
    Buffer.from([255, 255, 255, 255, 2]),
    Buffer.from([1, 0, 0, 0, 99, 7]),
    Buffer.alloc(70_000, 0xff),
    Buffer.from([10, 0, 0, 0, 2, 200, 0, 0, 0, 0]),
  ];
  for (const bytes of garbage) {
    const socket = connect(socketPath);
    socket.on("error", () => undefined);
    socket.end(bytes);
    await text(socket).catch(() => undefined);
  }
  expect((await run(slot.init, "echo fine")).stdout).toBe("fine\n");
});
