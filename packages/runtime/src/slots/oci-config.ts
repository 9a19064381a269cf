import { readFileSync } from "node:fs";
import { HAS_IPV6, INIT_OOM_SCORE_ADJ, MAY_RAISE_LIMITS, OPEN_FILES, SHM_BYTES, SLOT_CAPABILITIES, SLOT_HOSTNAME } from "./hardening.ts";
import { seccompProfile } from "./oci-seccomp.ts";
import { IDLE_SLOT } from "./slot.ts";
import { SLOT_INIT, SLOT_SOCKET_DIRECTORY } from "./slot-image.ts";

export interface OciSlot {
  id: string;
  nodeId: string;
  address: string;
  /** The slot's directory on the host, where its init's socket appears. */
  directory: string;
  /** What all slots of a node share, read-only. */
  rootDirectory: string;
  cgroup: string;
  cgroupVersion: 1 | 2;
  /** Null where the host has none loaded. */
  appArmorProfile: string | null;
}

const OCI_VERSION = "1.0.2";
const CPU_PERIOD_US = 100_000;
const MEMORY_BYTES = IDLE_SLOT.memoryMb * 1024 * 1024;
const KERNEL_MOUNT = ["nosuid", "noexec", "nodev"];

/** Docker's list: hidden, because they tell of the host or steer it. */
const MASKED_PATHS = [
  "/proc/asound",
  "/proc/acpi",
  "/proc/kcore",
  "/proc/keys",
  "/proc/latency_stats",
  "/proc/timer_list",
  "/proc/timer_stats",
  "/proc/sched_debug",
  "/proc/scsi",
  "/sys/firmware",
  "/sys/devices/virtual/powercap",
];
const READONLY_PATHS = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];
/** null, zero, full, random, urandom, tty, console: all that a slot may open. */
const DEVICES: readonly (readonly [number, number])[] = [
  [1, 3],
  [1, 5],
  [1, 7],
  [1, 8],
  [1, 9],
  [5, 0],
  [5, 1],
];

/** The slot as an OCI runtime reads it: what docker-container.ts asks of Docker, and what Docker adds by itself. */
export function ociConfig(slot: OciSlot): object {
  const capabilities = SLOT_CAPABILITIES.map((name) => `CAP_${name}`);
  return {
    ociVersion: OCI_VERSION,
    process: {
      terminal: false,
      user: { uid: 0, gid: 0, additionalGids: [0] },
      args: [SLOT_INIT],
      env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", `HOSTNAME=${SLOT_HOSTNAME}`],
      cwd: "/",
      capabilities: { bounding: capabilities, effective: capabilities, permitted: capabilities },
      rlimits: [
        { type: "RLIMIT_CORE", soft: 0, hard: 0 },
        { type: "RLIMIT_NOFILE", ...(MAY_RAISE_LIMITS ? OPEN_FILES : atMost(OPEN_FILES, openFilesNow())) },
      ],
      noNewPrivileges: true,
      oomScoreAdj: MAY_RAISE_LIMITS ? INIT_OOM_SCORE_ADJ : 0,
      ...(slot.appArmorProfile === null ? {} : { apparmorProfile: slot.appArmorProfile }),
    },
    root: { path: slot.rootDirectory, readonly: true },
    hostname: SLOT_HOSTNAME,
    mounts: mounts(slot.directory),
    annotations: { "banyan.node": slot.nodeId, "banyan.slot": slot.id, "banyan.address": slot.address },
    linux: {
      cgroupsPath: slot.cgroup,
      namespaces: ["mount", "network", "uts", "pid", "ipc", ...(slot.cgroupVersion === 2 ? ["cgroup"] : [])].map((type) => ({ type })),
      resources: resources(),
      seccomp: seccompProfile(process.arch),
      sysctl: {
        "net.ipv4.ip_unprivileged_port_start": "0",
        "net.ipv4.ping_group_range": "0 2147483647",
        ...(HAS_IPV6 ? { "net.ipv6.conf.all.disable_ipv6": "1" } : {}),
      },
      maskedPaths: MASKED_PATHS,
      readonlyPaths: READONLY_PATHS,
    },
  };
}

function mounts(directory: string): object[] {
  const mount = (destination: string, type: string, options: string[], source: string = type) => ({ destination, type, source, options });
  return [
    mount("/proc", "proc", KERNEL_MOUNT),
    mount("/dev", "tmpfs", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
    mount("/dev/pts", "devpts", ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]),
    mount("/sys", "sysfs", [...KERNEL_MOUNT, "ro"]),
    mount("/sys/fs/cgroup", "cgroup", [...KERNEL_MOUNT, "ro"]),
    mount("/dev/mqueue", "mqueue", KERNEL_MOUNT),
    mount("/dev/shm", "tmpfs", [...KERNEL_MOUNT, "mode=1777", `size=${SHM_BYTES}`], "shm"),
    mount(SLOT_SOCKET_DIRECTORY, "bind", ["rbind", "rprivate"], directory),
  ];
}

function resources(): object {
  const access = "rwm";
  return {
    devices: [{ allow: false, access }, ...DEVICES.map(([major, minor]) => ({ allow: true, type: "c", major, minor, access }))],
    // Equal values: no swap.
    memory: { limit: MEMORY_BYTES, swap: MEMORY_BYTES },
    cpu: { quota: IDLE_SLOT.cpu * CPU_PERIOD_US, period: CPU_PERIOD_US },
    pids: { limit: IDLE_SLOT.pids },
  };
}

/** What a process without CAP_SYS_RESOURCE inherits can only be lowered. */
function atMost(wanted: typeof OPEN_FILES, inherited: number): typeof OPEN_FILES {
  return { soft: Math.min(wanted.soft, inherited), hard: Math.min(wanted.hard, inherited) };
}

function openFilesNow(): number {
  const hard = /^Max open files\s+\S+\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8"))?.[1];
  return hard === undefined ? OPEN_FILES.soft : Number(hard);
}
