import { createHash } from "node:crypto";
import { Readable } from "node:stream";
import { fault, isFault } from "@banyan/contracts";
import { messageOf, retry } from "@banyan/kernel";
import { Base64UrlPaddedCodec, type ObjectStore, Objm, StorageType, setSha256Backend } from "@nats-io/obj";
import { z } from "zod";
import { type Link, unavailable } from "../link.ts";
import { isStreamMissing } from "../missing.ts";
import { oncePerConnection } from "../once-per-connection.ts";
import type { BlobInfo, BlobStore } from "./port.ts";

export const BLOBS_BUCKET = "blobs";
const STREAM = `OBJ_${BLOBS_BUCKET}`;
const CHUNK_BYTES = 512 * 1024;

// What the client hashes with by itself is made for browsers: it takes longer for a layer than all else does, and holds the process up.
setSha256Backend("native");

/** Half a minute in all. */
const READ_RETRY = { attemptsMax: 60, baseDelayMs: 100, delayMaxMs: 1_000, retryable: () => true } as const;

const Info = z.object({
  name: z.string(),
  nuid: z.string(),
  size: z.int(),
  chunks: z.int(),
  digest: z.string(),
  deleted: z.boolean().default(false),
});
type Info = z.infer<typeof Info>;

/** Blobs in JetStream's object store: nothing more to install, good for one machine and for small clusters. */
export function jetstreamBlobs(link: Link): BlobStore {
  const open = (): Promise<ObjectStore> => new Objm(link.js).create(BLOBS_BUCKET, { storage: StorageType.File });
  const store = oncePerConnection(link, open);
  // nats-server 2.9 leaves a direct read of a missing stream without an answer, so it is looked for before.
  const ensure = oncePerConnection(link, async () => {
    const { streams } = await link.manager();
    await streams.info(STREAM).catch(async (error) => {
      if (!isStreamMissing(error)) throw error;
      await store.get();
    });
  });
  const attempt = async <R>(operation: () => Promise<R>): Promise<R> => {
    link.assertConnected();
    try {
      return await operation();
    } catch (error) {
      if (isFault(error)) throw error;
      throw unavailable(`the blob store does not answer: ${messageOf(error)}`, error);
    }
  };
  const find = async (name: string): Promise<Info | null> => {
    await ensure.get();
    const { direct } = await link.manager();
    const found = await direct.getMessage(STREAM, { last_by_subj: `$O.${BLOBS_BUCKET}.M.${Base64UrlPaddedCodec.encode(name)}` });
    const info = found && Info.parse(found.json());
    return info === null || info.deleted ? null : info;
  };

  /** Names are encoded, so the server cannot look for a prefix: each is asked for in the order they were put. */
  const list = async function* (prefix: string): AsyncGenerator<BlobInfo> {
    await attempt(ensure.get);
    const { direct } = await link.manager();
    for (let seq = 1; ; ) {
      const found = await attempt(() => direct.getMessage(STREAM, { next_by_subj: `$O.${BLOBS_BUCKET}.M.>`, seq }));
      if (found === null) return;
      seq = found.seq + 1;
      const { name, size, deleted } = Info.parse(found.json());
      if (!deleted && name.startsWith(prefix)) yield { name, sizeBytes: size, putAt: found.time.getTime() };
    }
  };

  return {
    list,
    put: (name, content) =>
      attempt(async () => {
        const stored = await (await store.get()).put({ name, options: { max_chunk_size: CHUNK_BYTES } }, bytesOf(content));
        return { sizeBytes: stored.size };
      }),
    get: (name) =>
      attempt(async () => {
        const info = await find(name);
        return info === null ? null : Readable.from(readChunks(link, name, info), { objectMode: false });
      }),
    has: (name) => attempt(async () => (await find(name)) !== null),
    delete: (name) =>
      attempt(async () => {
        if ((await find(name)) !== null) await (await store.get()).delete(name);
      }),
  };
}

/** A source that fails fails the put, which then leaves nothing behind. */
function bytesOf(content: Readable): ReadableStream<Uint8Array> {
  const chunks = content[Symbol.asyncIterator]();
  return new ReadableStream({
    async pull(controller) {
      const { done, value } = await chunks.next();
      if (done) controller.close();
      else controller.enqueue(typeof value === "string" ? Buffer.from(value) : value);
    },
    async cancel() {
      await chunks.return?.();
    },
  });
}

/**
 * One chunk for one request, so that memory stays bounded by the reader's pace; the client's own `get` pushes the whole object into
 * memory when the reader is slow.
 */
async function* readChunks(link: Link, name: string, info: Info): AsyncGenerator<Uint8Array> {
  const { direct } = await link.manager();
  const subject = `$O.${BLOBS_BUCKET}.C.${info.nuid}`;
  const hash = createHash("sha256");
  let seq = 1;
  for (let chunk = 0; chunk < info.chunks; chunk++) {
    // A server that restarts in the middle of a layer costs a wait, not the layer.
    const msg = await retry(() => direct.getMessage(STREAM, { next_by_subj: subject, seq }), { ...READ_RETRY, clock: link.clock });
    if (msg === null) throw unavailable(`the blob ${name} was removed or replaced while it was read`);
    hash.update(msg.data);
    yield msg.data;
    seq = msg.seq + 1;
  }
  const digest = hash.digest("base64url");
  if (info.digest.replace(/^SHA-256=/, "").replace(/=+$/, "") !== digest)
    throw fault("bus.unavailable", { reason: `the blob ${name} is corrupt`, corrupt: true });
}
