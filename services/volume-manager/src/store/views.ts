import type { Volume, VolumeVersion } from "@banyan/contracts";
import type { Capabilities } from "../backends/port.ts";
import type { VersionRow, VolumeRow } from "./schema.ts";

const usageOf = ({ usageBytes, usageFiles, measuredAt }: VolumeRow | VersionRow): Volume["usage"] => ({
  bytes: usageBytes,
  files: usageFiles,
  measuredAt: measuredAt?.getTime() ?? null,
});

export function volumeView(row: VolumeRow, { quota }: Capabilities): Volume {
  const { id, orgId, name, labels, state, stateReason, store, remote, quotaMb, originVolumeId, originVersionId, progress, version } = row;
  const isMoving = state === "creating" || state === "restoring";
  return {
    id,
    orgId,
    name,
    labels,
    state,
    stateReason,
    backend: remote === null ? { kind: "directory", store } : { kind: "object", remote },
    quotaMb,
    quotaEnforcedBy: quota,
    usage: usageOf(row),
    origin: originVolumeId === null ? null : { volumeId: originVolumeId, versionId: originVersionId },
    progress: isMoving ? (progress ?? 0) : null,
    version,
    createdAt: row.createdAt.getTime(),
    updatedAt: row.updatedAt.getTime(),
  };
}

export function versionView(row: VersionRow): VolumeVersion {
  const { id, volumeId, name, state, stateReason, progress } = row;
  const moving = state === "creating" ? (progress ?? 0) : null;
  return { id, volumeId, name, state, stateReason, usage: usageOf(row), progress: moving, createdAt: row.createdAt.getTime() };
}
