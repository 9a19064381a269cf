import type { BlobInfo } from "@banyan/bus";
import { CONTEXT_BLOBS, Digest, LAYER_BLOBS } from "@banyan/contracts";
import type { Context } from "../context.ts";
import { adoptContexts } from "../store/adopt-contexts.ts";
import { adoptLayers } from "../store/adopt-layers.ts";

const NOTED_AT_ONCE = 500;
/** Of one kind, in one round. */
const BLOBS_MAX = 1_000_000;

/**
 * Blobs that no row knows: layers of snapshots that came to no image, uploads that no build used, whatever a lost database has left. They are
 * written down once they are old enough; then they are swept like all others, under the lock that whoever wants one of them takes too.
 */
export async function adoptStrays(
  { db, bus }: Context,
  { layersBefore, contextsBefore }: { layersBefore: number; contextsBefore: number },
) {
  for await (const found of pagesOf(bus.blobs.list(LAYER_BLOBS), layersBefore)) {
    const layers = found.map(({ name, putAt }) => ({ digest: name.slice(LAYER_BLOBS.length), putAt: new Date(putAt) }));
    await adoptLayers(
      db,
      layers.filter(({ digest }) => isDigest(digest)),
    );
  }
  for await (const found of pagesOf(bus.blobs.list(CONTEXT_BLOBS), contextsBefore)) {
    const contexts = found.map(({ name }) => {
      const [orgId = "", digest = ""] = name.slice(CONTEXT_BLOBS.length).split("/");
      return { orgId, digest };
    });
    await adoptContexts(
      db,
      contexts.filter(({ digest }) => isDigest(digest)),
    );
  }
}

const isDigest = (text: string): boolean => Digest.safeParse(text).success;

async function* pagesOf(blobs: AsyncIterable<BlobInfo>, putBefore: number): AsyncGenerator<BlobInfo[]> {
  let page: BlobInfo[] = [];
  let seen = 0;
  for await (const blob of blobs) {
    if (blob.putAt < putBefore) page.push(blob);
    if (page.length === NOTED_AT_ONCE) {
      yield page;
      page = [];
    }
    if (++seen === BLOBS_MAX) break;
  }
  yield page;
}
