import type { CreateSandboxOptions, StartedSandbox } from "@banyan/sdk";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { endBanyan } from "./clear-away.ts";
import { IMAGE_MS, makeDataDir, PATIENCE_MS, startBanyan, type TestBanyan } from "./start-banyan.ts";
import { untilReady } from "./until-ready.ts";

/** CHOWN, DAC_OVERRIDE, FOWNER, FSETID, KILL, SETGID, SETUID, NET_BIND_SERVICE: what a slot may have, and nothing else. */
const CAPABILITIES = 0x4fb;
const SMALL = { cpu: 1, memoryMb: 128, pids: 64, diskMb: 64 };

let running: TestBanyan;
const made: StartedSandbox[] = [];

beforeAll(async () => {
  running = await startBanyan(await makeDataDir());
  await untilReady(running.banyan);
}, IMAGE_MS + PATIENCE_MS);
afterAll(async () => {
  await endBanyan(running);
});

async function sandbox(options: CreateSandboxOptions = {}): Promise<StartedSandbox> {
  const one = await running.banyan.sandboxes.create({ limits: SMALL, waitMs: 60_000, ...options });
  made.push(one);
  return one;
}

/** The sandbox still does what it is told. */
async function expectAlive(one: StartedSandbox): Promise<void> {
  expect(await one.exec("echo alive")).toMatchObject({ exitCode: 0, stdout: "alive\n" });
}

const python = (one: StartedSandbox, program: string, timeoutMs = 20_000) => one.exec(["python3", "-c", program], { timeoutMs });

describe("from inside", () => {
  it("no capability beyond the short list is held, seccomp is on, and no privilege can be gained", async () => {
    const one = await sandbox();
    const { stdout } = await one.exec("cat /proc/self/status");
    const field = (name: string): string => new RegExp(`^${name}:\\s+(\\S+)$`, "m").exec(stdout)?.[1] ?? "";
    for (const set of ["CapPrm", "CapEff", "CapBnd"]) expect(Number.parseInt(field(set), 16)).toBe(CAPABILITIES);
    expect(field("CapInh")).toBe("0000000000000000");
    expect(field("NoNewPrivs")).toBe("1");
    expect(field("Seccomp")).toBe("2");
  });

  it.each([
    ["mount", "mount -t tmpfs none /mnt"],
    ["a new user or mount namespace", "unshare -Um true"],
    ["a device", "mknod /dev/disk b 8 0"],
    ["the clock", "date -s 2001-01-01"],
    ["the hostname", "hostname other"],
    ["a kernel setting", "echo 1 > /proc/sys/kernel/panic"],
    ["raw packets", "python3 -c 'import socket; socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)'"],
  ])("%s cannot be had", async (_what, command) => {
    expect((await (made[0] ?? (await sandbox())).exec(command)).exitCode).not.toBe(0);
  });

  it("the root is the sandbox's own: nothing of the host, of the slot or of its init is there", async () => {
    const one = await sandbox();
    const { stdout } = await one.exec("ls / /.. /../.. /run; find / -xdev -name '*.sock'");
    expect(stdout).not.toContain("init.sock");
    expect((await one.exec(`ls -d ${running.dataDir}`)).exitCode).not.toBe(0);
    expect((await one.exec("ls -d /new /init")).exitCode).not.toBe(0);
  });

  it("a symlink to a host path leads only to the sandbox's own", async () => {
    const one = await sandbox();
    await one.exec(`ln -s ${running.dataDir}/secrets /tmp/secrets; ln -s /proc/1/root/etc/hostname /tmp/name`);
    await expect(one.files.list("/tmp/secrets")).rejects.toMatchObject({ code: "file.not_found" });
    await one.files.write("/tmp/../../../../escape.txt", "inside");
    expect((await one.exec("cat /escape.txt")).stdout).toBe("inside");
  });

  it("neither another sandbox, nor the host, nor the metadata address, nor a private range is reached", async () => {
    const other = await sandbox();
    const one = await sandbox();
    await other.processes.start("python3 -m http.server 8000 --bind 0.0.0.0", { id: "server" });
    const address = (
      await python(other, "import socket; s=socket.socket(2,2); s.connect(('192.0.2.1',9)); print(s.getsockname()[0])")
    ).stdout.trim();
    expect(address).toMatch(/^10\./);
    const port = new URL(running.url).port;
    const targets = [
      `${address}:8000`,
      `${address.replace(/\.\d+\.\d+$/, ".0.1")}:${port}`,
      "169.254.169.254:80",
      "192.168.0.1:80",
      "172.17.0.1:80",
    ];
    const program = `
import socket, sys
for target in ${JSON.stringify(targets)}:
    host, port = target.split(":")
    s = socket.socket(); s.settimeout(2)
    try: s.connect((host, int(port))); print("reached", target)
    except OSError: print("refused")`;
    expect((await python(one, program)).stdout.trim().split("\n")).toEqual(targets.map(() => "refused"));
  });

  it("PID 1 cannot be killed, stopped or read", async () => {
    const one = await sandbox();
    expect((await one.exec("kill -9 1; kill -STOP 1; kill -SEGV 1")).exitCode).toBe(0);
    await expectAlive(one);
    // This ends what serves the command too, so there is nobody left to tell its end.
    await expect(one.exec("kill -9 -1")).rejects.toMatchObject({ code: "sandbox.protocol" });
    expect((await one.exec("cat /proc/1/environ /proc/1/mem; ls -l /proc/1/fd")).exitCode).not.toBe(0);
    await expectAlive(one);
  });
});

describe("within its limits stays", () => {
  it("a fork bomb", async () => {
    const one = await sandbox();
    const neighbour = await sandbox();
    await one.exec("f() { f | f & }; f; sleep 5", { timeoutMs: 3_000 }).catch((error: unknown) => {
      expect(error).toMatchObject({ code: "exec.resources" });
    });
    await expectAlive(neighbour);
    await one.stop();
    await one.start({ waitMs: 60_000 });
    await expectAlive(one);
  });

  it("a full disk", async () => {
    const one = await sandbox();
    const filled = await one.exec("dd if=/dev/zero of=/filler bs=1M count=500; stat -c %s /filler");
    expect(filled.stderr).toMatch(/quota|space/i);
    expect(Number(filled.stdout)).toBeLessThanOrEqual(SMALL.diskMb * 2 ** 20);
    await expect(one.files.write("/more", "x".repeat(2 ** 20))).rejects.toMatchObject({ code: "file.no_space" });
    await one.exec("rm /filler");
    await one.files.write("/more", "fits again");
  });

  it("a process that eats all memory", async () => {
    const one = await sandbox();
    expect(await python(one, "x = bytearray(10**9); print(len(x))")).toMatchObject({ oomKilled: true, signal: "SIGKILL" });
    await expectAlive(one);
  });

  it("a process that ignores SIGTERM", async () => {
    const one = await sandbox();
    await one.processes.start("trap '' TERM HUP INT; while :; do sleep 1; done", { id: "deaf" });
    expect(await one.stop({ graceMs: 300 })).toMatchObject({ state: "stopped" });
    expect(await one.exec("sleep 1").catch((error: unknown) => error)).toMatchObject({ code: "sandbox.not_running" });
  });

  it("what it says: endless output is cut and counted", async () => {
    const one = await sandbox();
    const endless = await one.exec("yes", { timeoutMs: 1_000, outputMaxBytes: 1_000 });
    expect(endless).toMatchObject({ timedOut: true, stdoutTruncated: true });
    expect(endless.stdout.length).toBeLessThanOrEqual(1_000);
    expect(endless.stdoutBytes).toBeGreaterThan(1_000);
  });
});
