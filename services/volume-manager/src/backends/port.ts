import type { MountSource, Remote, StoreId } from "@banyan/contracts";
import type { z } from "zod";

/** What a backend must know of a volume. `remote`: of an object volume, with its secrets. */
export interface BackendVolume {
  id: string;
  quotaMb: number | null;
  remote: Remote | null;
}

/** One piece of work that may take long. */
export interface Work {
  signal: AbortSignal;
  /** Goes up with each try: what an earlier one has left half done is told from this one's. */
  attempt: number;
  /** Told now and then: the share that is done, 0 to 1. */
  progress(share: number): void;
}

export interface Capabilities {
  versions: boolean;
  forks: boolean;
  /** A version, a restore and a fork take no time, however large the volume is. */
  sharesBlocks: boolean;
  /** Who refuses what goes beyond a quota. */
  quota: "kernel" | "upload" | "none";
}

export interface Measured {
  /** Null: cannot be told. */
  bytes: number | null;
  files: number | null;
}

export type BackendState = { state: "ok" } | { state: "lost"; reason: string };

/**
 * Keeps the files of volumes. Every deed may be repeated: one that was done is success, one that was begun is done over. None is ever seen half done:
 * a copy is made beside and gets its place when it is whole. Faults: volume.unreachable where the store does not answer, volume.no_space, and
 * volume.unsupported for what `capabilities` denies.
 */
export interface VolumeBackend {
  readonly kind: "directory" | "object";
  capabilities(): Capabilities;
  /** As it was last seen. */
  state(): BackendState;
  /** Where new volumes are made. Throws volume.unreachable. */
  storeId(): z.infer<typeof StoreId>;
  create(volume: BackendVolume): Promise<void>;
  /** With all its versions. */
  remove(volume: BackendVolume, work: Work): Promise<void>;
  /** Below what is used already: nothing more can be written. */
  setQuota(volume: BackendVolume): Promise<void>;
  /** `versionId` null: of the content. */
  usage(volume: BackendVolume, versionId: string | null, signal: AbortSignal): Promise<Measured>;
  snapshot(volume: BackendVolume, versionId: string, work: Work): Promise<void>;
  removeVersion(volume: BackendVolume, versionId: string, work: Work): Promise<void>;
  /** The content stays as it was until that of the version is whole. */
  restore(volume: BackendVolume, versionId: string, work: Work): Promise<void>;
  /** Makes `target` with what is in the source. */
  fork(source: { volume: BackendVolume; versionId: string | null }, target: BackendVolume, work: Work): Promise<void>;
  /** The path on this host that holds the content, or that of a version. */
  open(volume: BackendVolume, versionId: string | null): Promise<string>;
  /** What a node needs to mount it. */
  mountSource(volume: BackendVolume, versionId: string | null, storeId: string): MountSource;
  /** The ids of volumes beside whose files deeds that were cut short, or are under way, have left something. */
  leftBehind(): Promise<string[]>;
  /** Removes that, where none is under way. */
  tidy(volume: BackendVolume): Promise<void>;
  close(): Promise<void>;
}
