import { type api, OBJECT_STORE, type Volume, type VolumeBackend, type VolumeUser, type VolumeVersion } from "@banyan/contracts";
import { iso } from "./time.ts";

const usageView = ({ bytes, files, measuredAt }: Volume["usage"]): api.Volume["usage"] => ({
  bytes,
  files,
  measured_at: measuredAt === null ? null : iso(measuredAt),
});

export function volumeView(volume: Volume): api.Volume {
  const { backend, origin } = volume;
  return {
    id: volume.id,
    name: volume.name,
    labels: volume.labels,
    state: volume.state,
    state_reason: volume.stateReason,
    backend: backend.kind,
    store: backend.kind === "directory" ? backend.store : OBJECT_STORE,
    remote: backend.kind === "object" ? backend.remote : null,
    quota_mb: volume.quotaMb,
    quota_enforced_by: volume.quotaEnforcedBy,
    usage: usageView(volume.usage),
    origin: origin && { volume_id: origin.volumeId, version_id: origin.versionId },
    progress: volume.progress,
    created_at: iso(volume.createdAt),
    updated_at: iso(volume.updatedAt),
  };
}

export function versionView(version: VolumeVersion): api.VolumeVersion {
  return {
    id: version.id,
    volume_id: version.volumeId,
    name: version.name,
    state: version.state,
    state_reason: version.stateReason,
    usage: usageView(version.usage),
    progress: version.progress,
    created_at: iso(version.createdAt),
  };
}

export const usersView = ({ users, total }: { users: VolumeUser[]; total: number }): api.VolumeUsers => ({
  users: users.map(({ sandboxId, state, path, mode }) => ({ sandbox_id: sandboxId, state, path, mode })),
  total,
});

/** The schema has seen to it that `remote` is there where the backend needs it. */
export function backendOf({ remote }: Pick<api.CreateVolumeBody, "remote">): VolumeBackend {
  return remote === undefined ? { kind: "directory" } : { kind: "object", remote };
}

/** Its content is on its way. */
export const isCopied = ({ state }: { state: string }): boolean => state === "creating" || state === "restoring";
