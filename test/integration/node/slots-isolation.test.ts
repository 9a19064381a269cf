import { existsSync, readFileSync, readlinkSync } from "node:fs";
import { NODE_DEFAULTS, type NodeConfig } from "@banyan/runner-agent";
import { MAY_RAISE_LIMITS, type Slot } from "@banyan/runtime";
import { afterAll, beforeAll, expect, it } from "vitest";
import { start, type TestNode, testNode } from "./test-node.ts";

const MAKERS = ["docker", "oci"] as const satisfies NodeConfig["slotMaker"][];
type Maker = (typeof MAKERS)[number];
const POOL = { target: 1, parallel: 1, perS: 50, slotsMax: 4, quietMs: 0 };
const NAMESPACES = ["cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"];
const EPERM = 1;

/** x86_64. Called with arguments that are all -1, an unfiltered one answers EINVAL, EBADF or EFAULT. */
const REFUSED: Record<string, number> = {
  mount: 165,
  umount2: 166,
  pivot_root: 155,
  chroot: 161,
  open_tree: 428,
  move_mount: 429,
  fsopen: 430,
  mount_setattr: 442,
  unshare: 272,
  setns: 308,
  clone: 56,
  add_key: 248,
  request_key: 249,
  keyctl: 250,
  bpf: 321,
  perf_event_open: 298,
  userfaultfd: 323,
  open_by_handle_at: 304,
  process_vm_writev: 311,
  init_module: 175,
  delete_module: 176,
  finit_module: 313,
  kexec_load: 246,
  kexec_file_load: 320,
  reboot: 169,
  swapon: 167,
  swapoff: 168,
  iopl: 172,
  ioperm: 173,
  settimeofday: 164,
  clock_settime: 227,
  quotactl: 179,
  acct: 163,
  syslog: 103,
  mbind: 237,
  kcmp: 312,
};
/** Refused here as in newer engines, whatever the one beside it does. */
const IO_URING = [425, 426, 427];
/** The newest call that the profile names. */
const CALLS = 449;
/** These end, stop or fork the caller; from 335 on are uretprobe and uprobe, which kill whoever calls them, and then a gap. */
const NOT_CALLED = [15, 34, 57, 58, 60, 231, ...Array.from({ length: 424 - 335 }, (_, i) => 335 + i)];
const SWEEP = `my %not = map { $_ => 1 } (${NOT_CALLED.join()}); $| = 1;
for my $call (0 .. ${CALLS}) { next if $not{$call}; $! = 0; my $r = syscall($call, -1, -1, -1, -1, -1, -1); print STDERR "$call ", $r == -1 ? $! + 0 : 0, "\\n" }`;

const sandboxes = new Map<Maker, { node: TestNode; slot: Slot; sh(command: string): Promise<string> }>();
beforeAll(async () => {
  for (const slotMaker of MAKERS) {
    const node = await testNode({ slotMaker, ociRuntime: NODE_DEFAULTS.ociRuntime, pool: POOL });
    const order = node.order();
    await start(node, order);
    const slot = node.parts.registry.get(order.sandboxId)?.run?.slot;
    if (!slot) throw new Error("the sandbox has no slot");
    const sh = async (command: string) => {
      const { out, err } = await node.sh(order, command);
      return out + err;
    };
    sandboxes.set(slotMaker, { node, slot, sh });
  }
});
afterAll(async () => {
  for (const { node } of sandboxes.values()) await node.end();
});

/** FICLONE, FICLONERANGE, FIDEDUPERANGE, FIONREAD and FS_IOC_GETFLAGS. */
const TAKEN = [0x40049409, 0x4020940d, 0xc0189436, 0x541b, 0x80086601];
/** BTRFS_IOC_SUBVOL_CREATE and …_V2, SNAP_CREATE and …_V2, SNAP_DESTROY, SUBVOL_SETFLAGS, SET_RECEIVED_SUBVOL, SYNC and QGROUP_LIMIT. */
const OF_BTRFS = [0x5000940e, 0x50009418, 0x50009401, 0x50009417, 0x5000940f, 0x4008941a, 0xc0c89425, 0x9408, 0x8030942b];

/** What each maker's sandbox answers to the same question. */
async function ask(question: (maker: Maker, sandbox: { slot: Slot; sh(command: string): Promise<string> }) => Promise<string> | string) {
  const answers = [];
  for (const [maker, sandbox] of sandboxes) answers.push(await question(maker, sandbox));
  const [docker = "", oci = ""] = answers;
  expect(docker).not.toBe("");
  return { docker, oci };
}

it("gives init and what it starts the same capabilities, filter and privileges", async () => {
  const command =
    "grep -E '^(Cap...|NoNewPrivs|Seccomp(_filters)?|Uid|Gid|Groups):' /proc/1/status /proc/self/status; cat /proc/1/oom_score_adj";
  const { docker, oci } = await ask((_, { sh }) => sh(command));
  expect(oci).toBe(docker);
  expect(oci).toContain("/proc/self/status:CapBnd:\t00000000000004fb");
  expect(oci).toContain("/proc/self/status:Seccomp:\t2");
  expect(oci).toContain("/proc/1/status:NoNewPrivs:\t1");
});

it("puts both in namespaces of their own", async () => {
  const { docker, oci } = await ask((_, { slot }) =>
    NAMESPACES.filter((name) => existsSync(`/proc/self/ns/${name}`))
      .map((name) => `${name} ${readlinkSync(`/proc/${slot.pid}/ns/${name}`) === readlinkSync(`/proc/self/ns/${name}`) ? "host" : "own"}`)
      .join("\n"),
  );
  expect(oci).toBe(docker);
  for (const name of ["ipc", "mnt", "net", "pid", "uts"]) expect(oci).toContain(`${name} own`);
});

it("shows the same mounts, masked and read-only paths, and devices", async () => {
  const mounts = await ask(async (_, { sh }) => normaliseMounts(await sh("cat /proc/self/mountinfo")));
  expect(mounts.oci).toBe(mounts.docker);
  expect(mounts.oci).toMatch(/^\/proc\/keys /m);
  expect(mounts.oci).toMatch(/^\/proc\/sys ro,/m);
  const devices = await ask((_, { sh }) =>
    sh("cd /dev && find . -not -path './pts/*' -printf '%P %y %m %u %g %l\\n' | sort; df -k /dev/shm | tail -1"),
  );
  expect(devices.oci).toBe(devices.docker);
});

it("bounds both alike", async () => {
  const limits = await ask(async (_, { sh }) => {
    const lines = (await sh("cat /proc/self/limits")).split("\n");
    // Without the right to raise limits each has what it inherited.
    return lines.filter((line) => MAY_RAISE_LIMITS || !line.startsWith("Max open files")).join("\n");
  });
  expect(limits.oci).toBe(limits.docker);
  expect(limits.oci).toMatch(/Max file size +unlimited +unlimited/);
  expect(limits.oci).toMatch(/Max core file size +0 +0/);
  const sysctls = ["net/ipv4/ip_unprivileged_port_start", "net/ipv4/ping_group_range", "net/ipv6/conf/all/disable_ipv6", "kernel/shmmax"];
  const settings = await ask((_, { sh }) =>
    sh(`cd /proc/sys; cat ${sysctls.join(" ")} 2>&1; umask; env | sort; id; ls /proc/self/fd | wc -l`),
  );
  expect(settings.oci).toBe(settings.docker);
  const controls = await ask((_, { slot }) => cgroupSettings(slot));
  expect(controls.oci).toBe(controls.docker);
});

it.runIf(process.arch === "x64")("refuses the same system calls", async () => {
  const answers = await ask((_, { sh }) => sh(`perl -e '${SWEEP}'`));
  const [docker, oci] = [errnos(answers.docker), errnos(answers.oci)];
  expect(oci.size).toBe(CALLS + 1 - NOT_CALLED.length);
  for (const [name, call] of Object.entries(REFUSED)) {
    expect([name, docker.get(call)]).toEqual([name, EPERM]);
    expect([name, oci.get(call)]).toEqual([name, EPERM]);
  }
  for (const call of IO_URING) expect(oci.get(call)).toBe(EPERM);
  const different = [...oci].filter(([call, errno]) => docker.get(call) !== errno && !IO_URING.includes(call));
  expect(different).toEqual([]);
});

it("refuses what a btrfs could be asked without a capability, but not to share blocks of files", async () => {
  const errno = (request: string) => `open my $f, "<", "/tmp"; my $b = "\\0" x 4096; $! = 0; ioctl($f, ${request}, $b); print $! + 0, " "`;
  const answers = (requests: readonly (number | string)[]) =>
    ask((_, { sh }) => sh(`perl -e 'no warnings; ${requests.map((request) => `{ ${errno(`${request}`)} }`).join("; ")}'`));
  const refused = await answers(OF_BTRFS);
  expect(refused.docker).toBe(refused.oci);
  expect(refused.oci).toBe(`${EPERM} `.repeat(OF_BTRFS.length));
  const taken = await answers(TAKEN);
  expect(taken.docker).toBe(taken.oci);
  expect(taken.oci.split(" ")).not.toContain(`${EPERM}`);
  // The kernel looks at 32 bits of it, and so does the filter.
  const beyond = `perl -e '$! = 0; syscall(16, 0, 0x100009418 | 0x50000000, 0); print $! + 0'`;
  expect(await sandboxes.get("oci")?.sh(process.arch === "x64" ? beyond : "echo -n 1")).toBe("1");
});

it("refuses namespaces to clone, and says of clone3 that it does not exist", async () => {
  const command = `perl -e '$! = 0; syscall(56, 0x10000000, 0, 0, 0, 0); print $! + 0, " "; $! = 0; syscall(435, 0, 0); print $! + 0'`;
  const { docker, oci } = await ask((_, { sh }) => sh(process.arch === "x64" ? command : "echo -n '1 38'"));
  expect(oci).toBe(docker);
  expect(oci).toBe("1 38");
});

it("refuses sockets that lead to the host of a virtual machine", async () => {
  expect(await sandboxes.get("oci")?.sh("perl -MSocket -e 'socket(my $s, 40, SOCK_STREAM, 0) or print $! + 0'")).toBe("1");
  expect(await sandboxes.get("oci")?.sh("perl -MSocket -e 'socket(my $s, AF_INET, SOCK_STREAM, 0) and print q(made)'")).toBe("made");
});

/** Mount point, its options, type and the filesystem's options; without the root, whose directories are each sandbox's own. */
function normaliseMounts(mountinfo: string): string {
  const lines = mountinfo
    .trim()
    .split("\n")
    .map((line) => {
      const [left = "", right = ""] = line.split(" - ");
      const [type, , options] = right.split(" ");
      return `${left.split(" ").slice(4, 6).join(" ")} ${type} ${options}`;
    });
  return lines
    .filter((line) => !line.startsWith("/ "))
    .toSorted()
    .join("\n");
}

/** What the host set for the slot, beyond the limits that attach sets. */
function cgroupSettings({ pid, cgroups }: Slot): string {
  const files = [`${cgroups.memory}/memory.swappiness`, `${cgroups.memory}/memory.oom_control`, `${cgroups.memory}/memory.swap.max`];
  files.push(`${cgroups.cpu}/cpu.shares`, `${cgroups.cpu}/cpu.weight`);
  const devices = /^\d+:devices:(.*)$/m.exec(readFileSync(`/proc/${pid}/cgroup`, "utf8"))?.[1];
  if (devices !== undefined) files.push(`/sys/fs/cgroup/devices${devices}/devices.list`);
  const shown = files.filter((file) => existsSync(file)).map((file) => `${file.split("/").at(-1)}\n${readFileSync(file, "utf8")}`);
  return shown.join("").split("\n").toSorted().join("\n");
}

function errnos(text: string): Map<number, number> {
  return new Map(
    text
      .trim()
      .split("\n")
      .map((line) => line.split(" ").map(Number) as [number, number]),
  );
}
