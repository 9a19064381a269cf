/** Where a sandbox's private part lives: the two directories overlayfs needs. */
export interface DiskPaths {
  upper: string;
  work: string;
}

/** A sandbox's upper as it was at one moment: read-only, in overlayfs form, fit to be a lower directory at once. */
export interface Frozen {
  directory: string;
  /** How long the sandbox's processes stood still. */
  pausedMs: number;
  remove(): Promise<void>;
  /** Keeps it under this name, over restarts too, until `removeKept`. */
  keepAs(name: string): void;
}

/** Keeps the disks of sandboxes, each under its own limit where the driver can enforce one. */
export interface DiskDriver {
  readonly kind: "btrfs" | "plain";
  readonly enforcesLimits: boolean;
  /**
   * A new, empty disk, to be stacked on these directories: no file of it has the inode number of one of theirs. One that exists is sandbox.start_failed:
   * two sandboxes never share one.
   */
  create(id: string, limitMb: number, below: readonly string[]): Promise<DiskPaths>;
  has(id: string): boolean;
  paths(id: string): DiskPaths;
  /** Absent is success. */
  delete(id: string): Promise<void>;
  limit(id: string, limitMb: number): Promise<void>;
  /** Bytes charged to the disk; null where the driver does not count. */
  usageBytes(id: string): Promise<number | null>;
  list(): string[];
  /** While the processes of the cgroup directory `freezer` stand still; null: none run. What fails leaves nothing. */
  freeze(id: string, freezer: string | null): Promise<Frozen>;
  /** Removes what an earlier process froze and did not keep. */
  removeFrozen(): Promise<void>;
  /** The names of those kept. */
  kept(): string[];
  /** The directory of one that is kept, in overlayfs form. */
  keptPath(name: string): string;
  /** Absent is success. */
  removeKept(name: string): Promise<void>;
}

/** A directory for all disks and layers of a node. */
export interface DiskRoot {
  readonly directory: string;
  readonly driver: DiskDriver;
  /** Bytes of the filesystem below, as they are now. */
  space(): { totalBytes: number; freeBytes: number };
  /** Unmounts what was mounted here. Layers and disks stay in the image file. */
  close(): Promise<void>;
}
