import { fault } from "@banyan/contracts";
import type { Backends } from "./backends/backends.ts";

/** Throws where the store of directories is lost, and says why. Object volumes need a tool that not every host has. */
export async function checkStores(backends: Backends): Promise<void> {
  for (const backend of backends.all().filter(({ kind }) => kind === "directory")) {
    const seen = backend.state();
    if (seen.state === "lost")
      throw fault("volume.unreachable", { backend: backend.kind }, { message: `The store is lost: ${seen.reason}` });
  }
}
