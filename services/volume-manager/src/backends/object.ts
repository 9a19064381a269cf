import { fault, type MountSource, OBJECT_STORE, type Remote } from "@banyan/contracts";
import { assert } from "@banyan/kernel";
import { checkReachable, checkRemote, type RcloneMounts } from "@banyan/runtime";
import type { BackendState, BackendVolume, Capabilities, Measured, VolumeBackend } from "./port.ts";

/**
 * Volumes that lie in a store of somebody else's, which rclone mounts. The files belong to that store: a volume that is deleted is only forgotten. It
 * has neither versions nor forks nor a quota, for no store of objects gives them in one way.
 */
export class ObjectBackend implements VolumeBackend {
  readonly kind = "object";
  readonly #mounts: RcloneMounts | null;

  /** Null: this host is not to mount any; the volumes that there are stay known. */
  constructor(mounts: RcloneMounts | null) {
    this.#mounts = mounts;
  }

  capabilities(): Capabilities {
    return { versions: false, forks: false, sharesBlocks: false, quota: "none" };
  }

  state(): BackendState {
    return this.#mounts?.state() ?? { state: "lost", reason: "object volumes are switched off (BANYAN_OBJECTS=off)" };
  }

  storeId(): string {
    return OBJECT_STORE;
  }

  async create(volume: BackendVolume): Promise<void> {
    checkRemote(remoteOf(volume));
    const seen = this.state();
    if (seen.state === "lost") throw unsupported(`cannot be made here: ${seen.reason}`);
    await checkReachable(remoteOf(volume));
  }

  async remove(): Promise<void> {}

  async setQuota({ quotaMb }: BackendVolume): Promise<void> {
    if (quotaMb !== null) throw unsupported("has no quota: the store's own owner sets one there");
  }

  async usage(): Promise<Measured> {
    return { bytes: null, files: null };
  }

  async snapshot(): Promise<void> {
    throw unsupported("has no versions");
  }

  async removeVersion(): Promise<void> {}

  async restore(): Promise<void> {
    throw unsupported("has no versions");
  }

  async fork(): Promise<void> {
    throw unsupported("cannot be forked");
  }

  /** Held only by whoever works in it: each look keeps the mount for a while longer. */
  async open(volume: BackendVolume, versionId: string | null): Promise<string> {
    if (versionId !== null) throw unsupported("has no versions");
    if (this.#mounts === null) throw unsupported("is not mounted here");
    const path = await this.#mounts.open({ kind: "object", store: OBJECT_STORE, volumeId: volume.id, remote: remoteOf(volume) });
    this.#mounts.release(volume.id);
    return path;
  }

  mountSource(volume: BackendVolume, versionId: string | null): MountSource {
    if (versionId !== null) throw unsupported("has no versions");
    return { kind: "object", store: OBJECT_STORE, volumeId: volume.id, remote: remoteOf(volume) };
  }

  async leftBehind(): Promise<string[]> {
    return [];
  }

  async tidy(): Promise<void> {}

  async close(): Promise<void> {
    await this.#mounts?.close();
  }
}

function remoteOf({ id, remote }: BackendVolume): Remote {
  assert(remote !== null, `${id} is an object volume without a remote`);
  return remote;
}

function unsupported(what: string): Error {
  return fault("volume.unsupported", { backend: "object" }, { message: `A volume of the backend \`object\` ${what}.` });
}
