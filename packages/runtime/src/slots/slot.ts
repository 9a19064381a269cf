import type { CgroupPaths } from "../cgroup/cgroup.ts";

/** Compute that waits for a sandbox, or runs one: a container with `init` as its PID 1. */
export interface Slot {
  readonly id: string;
  /** What the maker calls it: a container id. */
  readonly handle: string;
  /** PID 1 of the slot as the host sees it; with its start time it names this process for ever. */
  readonly pid: number;
  readonly startTime: number;
  readonly socketPath: string;
  readonly address: string;
  readonly link: string;
  readonly cgroups: CgroupPaths;
}

/** Makes and unmakes slots. A maker knows nothing of sandboxes and hands none of its vendor's errors out. */
export interface SlotMaker {
  /** Once, before the first `make`: whatever all slots share. */
  prepare(): Promise<void>;
  /** A fresh slot, its init listening. Throws node.no_slot; nothing of a failed one stays. */
  make(): Promise<Slot>;
  /** Every slot of this node that is there, dead ones too, also those an earlier process made. */
  list(): Promise<ListedSlot[]>;
  /** Ends it and removes all that belonged to it. Absent is success. */
  destroy(slot: { id: string; handle: string }): Promise<void>;
  /** Calls back with the slot's id when one ends by itself, soon after; until the returned function is called. */
  onDeath(report: (slotId: string) => void): () => void;
}

/** Not finished: who made it died before its network and its init were ready, and nobody can tell how far it came. */
export type ListedSlot = { id: string; handle: string } & ({ alive: true; finished: boolean; slot: Slot } | { alive: false });

/** Bounds of a slot that no sandbox is attached to: only init runs in it. Attach sets those of the sandbox. */
export const IDLE_SLOT = { memoryMb: 256, cpu: 1, pids: 64 } as const;
