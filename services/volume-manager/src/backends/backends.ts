import { fault, type VolumeBackend as VolumeBackendInput } from "@banyan/contracts";
import type { VolumeBackend } from "./port.ts";

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

  all(): VolumeBackend[] {
    return [...this.#byKind.values()];
  }

  async close(): Promise<void> {
    for (const backend of this.#byKind.values()) await backend.close();
  }
}
