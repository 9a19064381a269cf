import { existsSync, readFileSync } from "node:fs";
import { fault } from "@banyan/contracts";
import { type Mount, readMounts } from "../host/mounts.ts";

/** Where a slot's limits are written: the directories of its three controllers, the same one on cgroup v2. */
export interface CgroupPaths {
  version: 1 | 2;
  cpu: string;
  memory: string;
  pids: string;
  /** cgroup v1 only: whether this kernel counts swap, so that it can be denied. */
  countsSwap: boolean;
}

export interface CgroupLimits {
  cpu: number;
  memoryMb: number;
  pids: number;
}

export interface CgroupWrite {
  file: string;
  value: string;
}

const CPU_PERIOD_US = 100_000;
const MB = 1024 * 1024;

/** A host mounts its cgroup hierarchies once; the table of all mounts is long where there are many sandboxes. */
let hierarchies: Mount[] | undefined;

function cgroupMounts(): Mount[] {
  hierarchies ??= readMounts().filter(({ fsType }) => fsType === "cgroup" || fsType === "cgroup2");
  return hierarchies;
}

/** Found from the process itself, so that any container engine and any cgroup driver will do. */
export function cgroupsOf(pid: number): CgroupPaths {
  const lines = readFileSync(`/proc/${pid}/cgroup`, "utf8").trim().split("\n");
  const mounts = cgroupMounts();
  const unified = lines.find((line) => line.startsWith("0::"))?.slice(3);
  const find = (controller: string): { version: 1 | 2; path: string } => {
    for (const line of lines) {
      const [, controllers, ...rest] = line.split(":");
      if (!controllers?.split(",").includes(controller)) continue;
      const mount = mounts.find((each) => each.fsType === "cgroup" && each.options.includes(controller));
      if (mount !== undefined) return { version: 1, path: mount.mountPoint + rest.join(":") };
    }
    const mount = mounts.find((each) => each.fsType === "cgroup2");
    if (unified === undefined || mount === undefined)
      throw fault("internal", { pid, controller }, { message: `no cgroup with the controller ${controller}` });
    return { version: 2, path: mount.mountPoint + unified };
  };
  const memory = find("memory");
  const countsSwap = existsSync(`${memory.path}/memory.memsw.limit_in_bytes`);
  return { version: memory.version, memory: memory.path, cpu: find("cpu").path, pids: find("pids").path, countsSwap };
}

/** The directories of this cgroup, one per hierarchy that has it. */
export function cgroupDirectories(path: string): string[] {
  return cgroupMounts()
    .map(({ mountPoint }) => mountPoint + path)
    .filter((directory) => existsSync(directory));
}

/** The writes that put limits in force, in an order that is legal whatever the limits were before. */
export function limitWrites(paths: CgroupPaths, limits: CgroupLimits): CgroupWrite[] {
  const quotaUs = Math.max(1_000, Math.round(limits.cpu * CPU_PERIOD_US));
  const bytes = String(limits.memoryMb * MB);
  if (paths.version === 2) {
    return [
      { file: `${paths.cpu}/cpu.max`, value: `${quotaUs} ${CPU_PERIOD_US}` },
      { file: `${paths.memory}/memory.max`, value: bytes },
      { file: `${paths.pids}/pids.max`, value: String(limits.pids) },
    ];
  }
  // memory+swap may never be below memory: it is lifted first and set last. Equal values leave no swap.
  const swap = (value: string) => (paths.countsSwap ? [{ file: `${paths.memory}/memory.memsw.limit_in_bytes`, value }] : []);
  return [
    { file: `${paths.cpu}/cpu.cfs_quota_us`, value: String(quotaUs) },
    ...swap("-1"),
    { file: `${paths.memory}/memory.limit_in_bytes`, value: bytes },
    ...swap(bytes),
    { file: `${paths.pids}/pids.max`, value: String(limits.pids) },
  ];
}

/** The limits in force, read back. */
export function readLimits(paths: CgroupPaths): CgroupLimits {
  const read = (file: string) => readFileSync(file, "utf8").trim();
  if (paths.version === 2) {
    const [quota, period] = read(`${paths.cpu}/cpu.max`).split(" ");
    return {
      cpu: quota === "max" ? Number.POSITIVE_INFINITY : Number(quota) / Number(period),
      memoryMb: Number(read(`${paths.memory}/memory.max`)) / MB,
      pids: Number(read(`${paths.pids}/pids.max`)),
    };
  }
  return {
    cpu: Number(read(`${paths.cpu}/cpu.cfs_quota_us`)) / Number(read(`${paths.cpu}/cpu.cfs_period_us`)),
    memoryMb: Number(read(`${paths.memory}/memory.limit_in_bytes`)) / MB,
    pids: Number(read(`${paths.pids}/pids.max`)),
  };
}

/** How many processes of this cgroup the kernel has killed for memory. */
export function readOomKills(paths: CgroupPaths): number {
  const file = paths.version === 2 ? `${paths.memory}/memory.events` : `${paths.memory}/memory.oom_control`;
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch {
    // The slot is gone, and its count with it.
    return 0;
  }
  return Number(/^oom_kill (\d+)$/m.exec(text)?.[1] ?? 0);
}

/** How many processes it holds now, init included. */
export function readProcessCount(paths: CgroupPaths): number {
  try {
    return Number(readFileSync(`${paths.pids}/pids.current`, "utf8"));
  } catch {
    return 0;
  }
}
