import type { MountSource } from "@banyan/contracts";

export type ObjectSource = Extract<MountSource, { kind: "object" }>;

/** The object volumes that are mounted on this host: one mount for each volume, whoever shares it, for as long as somebody does. */
export interface ObjectMounts {
  /** Whether this host can mount any: a lost one says why. Null: it was not set up for it, and says nothing. */
  state(): { state: "ok" } | { state: "lost"; reason: string } | null;
  /** The directory with the volume's files, mounted by the first who asks. One `release` belongs to each. Throws volume.unreachable. */
  open(source: ObjectSource): Promise<string>;
  /** For one `open`; the mount may stay for a while after the last. */
  release(volumeId: string): void;
  /** Once, after a restart: how many sandboxes that still run hold each volume. Mounts of an earlier process that nobody holds go. */
  adopt(held: ReadonlyMap<string, number>): Promise<void>;
  /** Unmounts all that nobody holds. */
  close(): Promise<void>;
}
