import type { BlobStore } from "@banyan/bus";
import { layerBlob } from "@banyan/contracts";
import type { Database } from "@banyan/db";
import type { Clock } from "@banyan/kernel";
import { noteLayers } from "./store/note-layers.ts";

const LAYERS = layerBlob("");

/** The blob store, where each layer is noted before it is put: what a build leaves that came to no image is found again, and swept. */
export function notedBlobs(blobs: BlobStore, db: Database, clock: Clock): BlobStore {
  return {
    get: (name) => blobs.get(name),
    has: (name) => blobs.has(name),
    delete: (name) => blobs.delete(name),
    list: (prefix) => blobs.list(prefix),
    async put(name, content) {
      const digest = name.startsWith(LAYERS) ? name.slice(LAYERS.length) : null;
      // Its size is known, and written, once an image holds it.
      if (digest !== null) await noteLayers(db.orm, [{ digest, sizeBytes: 0 }], new Date(clock.now()));
      return blobs.put(name, content);
    },
  };
}
