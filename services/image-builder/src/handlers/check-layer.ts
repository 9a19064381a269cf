import { createHash } from "node:crypto";
import { pipeline } from "node:stream/promises";
import { createZstdDecompress } from "node:zlib";
import type { BlobStore, Consuming } from "@banyan/bus";
import { CheckLayer, isFault, layerBlob } from "@banyan/contracts";
import type { Context } from "../context.ts";
import { spoilImages } from "../store/spoil-images.ts";

const SIGN_OF_WORK_MS = 10_000;

/** One at a time: each is read from its beginning to its end. */
export function checkLayers(ctx: Context): Consuming {
  const { db, bus, clock, logger } = ctx;
  return bus.consumeJobs(
    CheckLayer,
    async ({ digest }, { working }) => {
      const sign = setInterval(working, SIGN_OF_WORK_MS);
      try {
        if (await isWhole(bus.blobs, digest)) return;
        // A blob that is there is not put again: what is spoiled has to go first.
        await bus.blobs.delete(layerBlob(digest));
        const imageIds = await spoilImages(db, digest, new Date(clock.now()));
        logger.error({ digest, imageIds }, "the blob store has lost or spoiled a layer");
      } finally {
        clearInterval(sign);
      }
    },
    { concurrencyMax: 1 },
  );
}

/** Throws where the store cannot say. */
async function isWhole(blobs: BlobStore, digest: string): Promise<boolean> {
  const blob = await blobs.get(layerBlob(digest));
  if (blob === null) return false;
  const hash = createHash("sha256");
  try {
    await pipeline(blob, createZstdDecompress(), hash);
  } catch (error) {
    if (isFault(error) && error.details.corrupt !== true) throw error;
    return false;
  }
  return `sha256:${hash.digest("hex")}` === digest;
}
