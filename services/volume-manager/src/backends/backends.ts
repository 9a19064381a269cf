import { fault, type VolumeBackend as VolumeBackendInput } from "@banyan/contracts";
import type { VolumeBackend } from "./port.ts";

const RETRY_AFTER_MS = 5_000;

type Kind = VolumeBackendInput["kind"];

/** The backends that there are here, by kind. */
export class Backends {
  readonly #byKind: ReadonlyMap<Kind, VolumeBackend>;

  constructor(backends: readonly VolumeBackend[]) {
    this.#byKind = new Map(backends.map((backend) => [backend.kind, backend]));
  }

  of(kind: Kind): VolumeBackend {
    const backend = this.#byKind.get(kind);
    if (backend === undefined) throw fault("volume.unsupported", { backend: kind }, { message: `There is no backend \`${kind}\` here.` });
    return backend;
  }

  /** Throws volume.unreachable where its files lie in another store than the one that is reached here, or that is lost. */
  reaching({ id, backend: kind, store }: { id: string; backend: Kind; store: string }): VolumeBackend {
    const backend = this.of(kind);
    const reached = backend.storeId();
    if (reached !== store) {
      const message = `Its files lie in the store ${store}, and ${reached} is the one that is reached here.`;
      throw fault("volume.unreachable", { volumeId: id, store, reached, retryAfterMs: RETRY_AFTER_MS }, { message });
    }
    return backend;
  }

  /** The store of directories here. Null where there is none, or none that answers. */
  directoryStore(): string | null {
    const directory = this.#byKind.get("directory");
    return directory?.state().state === "ok" ? directory.storeId() : null;
  }

  all(): VolumeBackend[] {
    return [...this.#byKind.values()];
  }

  async close(): Promise<void> {
    for (const backend of this.#byKind.values()) await backend.close();
  }
}
