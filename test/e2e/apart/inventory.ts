import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { cgroupsOf } from "../../integration/node/footprint.ts";
import { footprintOf } from "../footprint.ts";

/** How much of each kind a node has on its host. */
export interface Counts {
  containers: number;
  /** Host ends of the slots' links; the bridge is not one of them. */
  links: number;
  slotDirectories: number;
  /** Containers that have cgroups, those of earlier looks included. */
  cgroups: number;
  disks: number;
  journal: number;
  mounts: number;
  loops: number;
}

/** Counts at the machine itself, not at what the node believes. */
export class Inventory {
  readonly #dataDir: string;
  readonly #dockerHost: string;
  readonly #seen = new Set<string>();

  constructor(dataDir: string, dockerHost: string) {
    this.#dataDir = dataDir;
    this.#dockerHost = dockerHost;
  }

  async count(): Promise<Counts> {
    const { containers, links, mounts, loops } = await footprintOf(this.#dataDir, this.#dockerHost);
    for (const id of containers) this.#seen.add(id);
    const grouped = [...this.#seen].filter((id) => cgroupsOf([id]).length > 0);
    return {
      containers: containers.length,
      links: links.length - 1,
      slotDirectories: this.#entries("slots"),
      cgroups: grouped.length,
      disks: this.#entries("disk/sandboxes"),
      journal: this.#entries("journal"),
      mounts: mounts.length,
      loops: loops.length,
    };
  }

  /** What there should be: a slot for each that runs and each that is free, a disk for each sandbox, one mount for all disks. */
  static expected({ running, stopped, free }: { running: number; stopped: number; free: number }): Counts {
    const slots = running + free;
    const disks = running + stopped;
    return { containers: slots, links: slots, slotDirectories: slots, cgroups: slots, disks, journal: disks, mounts: 1, loops: 1 };
  }

  /** The slot that runs a sandbox, by the node's journal. */
  slotOf(sandboxId: string): { handle: string; pid: number } {
    const entry = JSON.parse(readFileSync(join(this.#dataDir, "journal", `${sandboxId}.json`), "utf8")) as {
      slot: { handle: string; pid: number };
    };
    return entry.slot;
  }

  /** Files that were frozen for forks and are kept. */
  get frozen(): number {
    return this.#entries("disk/frozen");
  }

  #entries(directory: string): number {
    const path = join(this.#dataDir, directory);
    return existsSync(path) ? readdirSync(path).length : 0;
  }
}
