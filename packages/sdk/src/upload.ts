import { createHash } from "node:crypto";
import type { api } from "@banyan/contracts";
import type { Camel } from "./case.ts";
import { type Client, pause } from "./client.ts";
import { isBanyanError } from "./error.ts";
import { partsOf, type UploadSource } from "./upload-source.ts";

export type { UploadSource } from "./upload-source.ts";

type Upload = Camel<api.Upload>;

export interface UploadOptions {
  /** In bytes. Needed of a stream, which does not say it itself. */
  size?: number;
  /** Of the whole, in hexadecimal: checked before the file appears. */
  sha256?: string;
  /** Octal: "0644". */
  mode?: string;
  modifiedAt?: Date;
  /** An upload to go on with. One that is gone is begun anew. */
  uploadId?: string;
  /** Heard as soon as there is one to go on with. */
  onBegin?(uploadId: string): void | Promise<void>;
  onProgress?(progress: { sent: number; size: number }): void;
  signal?: AbortSignal | undefined;
}

const PART_BYTES = 8 * 1024 * 1024;
const PART_TIMEOUT_MS = 600_000;
/** For a part, beyond those of a single request: a service that starts again takes that long. */
const ATTEMPTS_MAX = 10;
const DAMAGED_MAX = 3;

/** One part is on its way while the next is read; more than these two are never held. */
export async function uploadFile(
  client: Client,
  volumePath: string,
  path: string,
  source: UploadSource,
  options: UploadOptions,
): Promise<{ path: string; size: number }> {
  const { signal, onProgress } = options;
  const size = sizeOf(source, options.size);
  const begun = await begin(client, volumePath, path, size, options);
  const at = `${volumePath}/uploads/${begun.id}`;
  await options.onBegin?.(begun.id);
  onProgress?.({ sent: begun.offset, size });
  const parts = partsOf(source, { from: begun.offset, size, partBytes: Math.min(PART_BYTES, begun.partBytesMax) });
  try {
    let next = ahead(parts.next());
    for (;;) {
      const { value: part, done } = await next();
      if (done) break;
      next = ahead(parts.next());
      await sendPart(client, at, part, signal);
      onProgress?.({ sent: part.offset + part.bytes.length, size });
    }
  } finally {
    await parts.return();
  }
  await persistently(signal, () =>
    client.json<api.Upload>("POST", `${at}/complete`, { repeatable: true, timeoutMs: PART_TIMEOUT_MS, signal }),
  );
  return { path: begun.path, size };
}

/** A read that fails while nobody waits for it yet is no unhandled one. */
function ahead<T>(promise: Promise<T>): () => Promise<T> {
  promise.catch(() => undefined);
  return () => promise;
}

function sizeOf(source: UploadSource, stated: number | undefined): number {
  const own = source instanceof Uint8Array ? source.length : source instanceof ReadableStream ? undefined : source.size;
  const size = own ?? stated;
  if (size === undefined) throw new TypeError("A stream does not say how long it is: give `size`.");
  if (stated !== undefined && stated !== size) throw new TypeError(`The source has ${size} bytes, not ${stated}.`);
  return size;
}

async function begin(client: Client, volumePath: string, path: string, size: number, options: UploadOptions): Promise<Upload> {
  const { uploadId, sha256, mode, modifiedAt, signal } = options;
  if (uploadId !== undefined) {
    const open = await client
      .json<api.Upload>("GET", `${volumePath}/uploads/${encodeURIComponent(uploadId)}`, { signal })
      .catch((error: unknown) => {
        if (isBanyanError(error) && error.status !== null && error.status < 500) return null;
        throw error;
      });
    if (open?.state === "open" && open.size === size) return open;
  }
  const json = { path, size, sha256, mode, modifiedAt: modifiedAt?.toISOString() };
  return client.keyed<api.Upload>("POST", `${volumePath}/uploads`, { json, signal });
}

interface Part {
  offset: number;
  bytes: Uint8Array<ArrayBuffer>;
}

/** What was damaged on its way is sent again. One that was taken and not answered is taken again. */
async function sendPart(client: Client, at: string, { offset, bytes }: Part, signal: AbortSignal | undefined): Promise<void> {
  const sha256 = createHash("sha256").update(bytes).digest("hex");
  const options = { query: { offset, sha256 }, body: bytes, headers: { "content-type": "application/octet-stream" } };
  for (let damaged = 0; ; ) {
    try {
      await persistently(signal, () =>
        client.json<api.Upload>("PUT", at, { ...options, repeatable: true, timeoutMs: PART_TIMEOUT_MS, signal }),
      );
      return;
    } catch (error) {
      if (isBanyanError(error, "upload.out_of_order") && Number(error.details.offset) >= offset + bytes.length) return;
      if (!isBanyanError(error, "upload.checksum_mismatch") || ++damaged >= DAMAGED_MAX) throw error;
    }
  }
}

/** Through an absence of the service that is longer than a single request waits. */
export async function persistently<T>(signal: AbortSignal | undefined, attempt: () => Promise<T>): Promise<T> {
  for (let tried = 1; ; tried++) {
    try {
      return await attempt();
    } catch (error) {
      const passes = isBanyanError(error) && error.retryable && (error.status === null || error.status >= 500);
      if (!passes || tried >= ATTEMPTS_MAX) throw error;
      await pause(error, tried, signal);
    }
  }
}
