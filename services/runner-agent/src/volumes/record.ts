import { LIMITS, MountMode, type MountOrder, MountPath, StoreId, SubPath, VersionId, VolumeId } from "@banyan/contracts";
import { z } from "zod";

/** A volume that is mounted in a running sandbox, as the journal keeps it: without what its order says in secret. */
export const MountRecord = z.object({
  path: MountPath,
  subpath: SubPath,
  mode: MountMode,
  source: z.object({ kind: z.enum(["directory", "object"]), store: StoreId, volumeId: VolumeId, versionId: VersionId.nullable() }),
  /** As the kernel counts it. Null: it was about to be mounted, and the kernel knows whether it is. */
  mountId: z.int().nullable(),
});
export type MountRecord = z.infer<typeof MountRecord>;
export const MountRecords = z.array(MountRecord).max(LIMITS.volumesPerSandbox);

export function recordOf({ path, subpath, mode, source }: MountOrder, mountId: number | null = null): MountRecord {
  const { kind, store, volumeId } = source;
  const versionId = source.kind === "directory" ? source.versionId : null;
  return { path, subpath, mode, source: { kind, store, volumeId, versionId }, mountId };
}

/** Whether an order asks for what is there. Other credentials for the same volume are no other mount. */
export function isSameMount(record: MountRecord, order: MountOrder): boolean {
  const { subpath, mode, source } = recordOf(order);
  const { source: mounted } = record;
  return (
    record.path === order.path &&
    record.subpath === subpath &&
    record.mode === mode &&
    mounted.volumeId === source.volumeId &&
    mounted.versionId === source.versionId
  );
}
