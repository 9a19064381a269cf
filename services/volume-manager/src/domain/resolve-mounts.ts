import { fault, type VolumeMount } from "@banyan/contracts";

interface Volume {
  id: string;
  state: string;
  stateReason: string | null;
  closing: string | null;
}

const RETRY_AFTER_MS = 1_000;

/** Throws why it cannot be mounted now. */
export function assertMountable(mount: VolumeMount, volume: Volume | undefined): asserts volume is Volume {
  if (volume === undefined || volume.state === "deleted") throw fault("volume.not_found", { volume: mount.volume, path: mount.path });
  if (volume.state !== "ready" || volume.closing !== null) {
    const state = volume.state === "ready" ? "being deleted or restored" : volume.state;
    const reason = volume.stateReason ?? undefined;
    throw fault("volume.not_ready", { volumeId: volume.id, state, reason, path: mount.path, retryAfterMs: RETRY_AFTER_MS });
  }
}

export function assertVersionMountable(mount: VolumeMount, volumeId: string, version: Volume | null): asserts version is Volume {
  if (version === null || version.state === "deleted") {
    throw fault("volume.version_not_found", { volumeId, version: mount.version, path: mount.path });
  }
  if (version.state !== "ready" || version.closing !== null) {
    throw fault("volume.not_ready", {
      volumeId,
      versionId: version.id,
      state: version.state,
      path: mount.path,
      retryAfterMs: RETRY_AFTER_MS,
    });
  }
}
