import type { NodeHeartbeat, Resources } from "@banyan/contracts";

export type Amounts = NodeHeartbeat["capacity"];

export interface NodeSize {
  cpus: number;
  memoryMb: number;
  diskMb: number;
  slotsMax: number;
}

export interface Overcommit {
  cpu: number;
  memory: number;
  disk: number;
}

const MB_PER_GB = 1_024;
/** Under this much really free disk nothing more is started, whatever was promised. */
export const DISK_FREE_MIN_MB = MB_PER_GB;

/** What a node of this size promises in all. */
export function capacityOf(size: NodeSize, overcommit: Overcommit): Amounts {
  return {
    cpu: size.cpus * overcommit.cpu,
    memoryMb: Math.floor(size.memoryMb * overcommit.memory),
    diskMb: Math.floor(size.diskMb * overcommit.disk),
    sandboxes: size.slotsMax,
  };
}

/** What sandboxes hold of it. One that is stopped holds only its disk. */
export function usedBy(sandboxes: Iterable<{ state: "running" | "stopped"; resources: Resources }>): Amounts {
  const used = { cpu: 0, memoryMb: 0, diskMb: 0, sandboxes: 0 };
  for (const { state, resources } of sandboxes) {
    used.diskMb += resources.diskMb;
    if (state === "stopped") continue;
    used.cpu += resources.cpu;
    used.memoryMb += resources.memoryMb;
    used.sandboxes++;
  }
  return used;
}

/** Whether `wanted` still fits, when what the sandbox itself holds already is given back first. */
export function fits(capacity: Amounts, used: Amounts, wanted: Resources, held: Amounts): boolean {
  return (
    used.cpu - held.cpu + wanted.cpu <= capacity.cpu &&
    used.memoryMb - held.memoryMb + wanted.memoryMb <= capacity.memoryMb &&
    used.diskMb - held.diskMb + wanted.diskMb <= capacity.diskMb &&
    used.sandboxes - held.sandboxes + 1 <= capacity.sandboxes
  );
}
