import { Readable } from "node:stream";
import { isFault } from "@banyan/contracts";
import { type Clock, messageOf, retry, systemClock } from "@banyan/kernel";
import { AwsClient } from "aws4fetch";
import { unavailable } from "../link.ts";
import type { BlobInfo, BlobStore } from "./port.ts";

/** Where blobs are kept in a store that speaks S3. */
export interface S3Location {
  /** `https://host[:port]`; the bucket is put into the path, which every such store takes. */
  endpoint: string;
  region: string;
  bucket: string;
  /** Before every name; empty or ending with `/`. */
  prefix: string;
  accessKeyId: string;
  secretAccessKey: string;
}

/** Held in memory, two at a time. The protocol takes 10,000 parts: 80 GB, more than a layer may have. */
const PART_BYTES = 8 * 1024 * 1024;
const REQUEST_TIMEOUT_MS = 120_000;
const RETRY = { attemptsMax: 5, baseDelayMs: 200, delayMaxMs: 3_000 } as const;
/** In a row, without a byte in between. */
const READ_FAILURES_MAX = 8;
const READ_RETRY_MS = 500;

interface Ask {
  method: "GET" | "HEAD" | "PUT" | "POST" | "DELETE";
  query?: Record<string, string>;
  headers?: Record<string, string>;
  body?: Uint8Array<ArrayBuffer> | string;
}

/** Of one blob, or of the bucket. */
type S3 = (name: string | null, ask: Ask) => Promise<Response>;

/** Blobs in S3 or a store like it: for clusters, where NATS should not carry every layer. */
export function s3Blobs(location: S3Location, clock: Clock = systemClock): BlobStore {
  const s3 = connect(location, clock);
  return {
    async put(name, content) {
      try {
        return await put(s3, name, content);
      } catch (error) {
        throw isFault(error) ? error : unavailable(`the blob ${name} cannot be put: ${messageOf(error)}`, error);
      }
    },
    async get(name) {
      const response = await s3(name, { method: "GET" });
      return response.status === 404 ? null : Readable.from(readOn(s3, name, response, clock), { objectMode: false });
    },
    has: async (name) => (await s3(name, { method: "HEAD" })).status !== 404,
    delete: async (name) => void (await s3(name, { method: "DELETE" })),
    list: (prefix) => list(s3, location.prefix, prefix),
  };
}

/** Requests that can be repeated, and are while the store is away. Answers what succeeded, and 404. */
function connect({ endpoint, region, bucket, prefix, accessKeyId, secretAccessKey }: S3Location, clock: Clock): S3 {
  const client = new AwsClient({ accessKeyId, secretAccessKey, region, service: "s3", retries: 0 });
  return (name, { method, query = {}, headers = {}, body }) => {
    const path = [bucket, ...(name === null ? [] : (prefix + name).split("/"))].map(encodeURIComponent).join("/");
    const search = new URLSearchParams(query).toString();
    const url = `${endpoint.replace(/\/+$/, "")}/${path}${search === "" ? "" : `?${search}`}`;
    // The length of a body that is read for long is no measure of the store's health: only its beginning is waited for.
    const signal = method === "GET" ? null : AbortSignal.timeout(REQUEST_TIMEOUT_MS);
    const attempt = async (): Promise<Response> => {
      const init = { method, headers: { "accept-encoding": "identity", ...headers }, signal, ...(body === undefined ? {} : { body }) };
      const response = await client.fetch(url, init).catch((error) => {
        throw unavailable(`the blob store does not answer: ${messageOf(error)}`, error);
      });
      if (response.ok || response.status === 404) return response;
      const said = (await response.text()).slice(0, 500);
      throw unavailable(`the blob store answers ${method} with ${response.status}: ${said}`, new S3Refusal(response.status));
    };
    const retryable = (error: unknown) => !(error instanceof Error && error.cause instanceof S3Refusal && error.cause.isFinal);
    return retry(attempt, { ...RETRY, retryable, clock });
  };
}

class S3Refusal extends Error {
  readonly isFinal: boolean;

  constructor(status: number) {
    super(`status ${status}`);
    this.isFinal = status < 500 && status !== 429 && status !== 408;
  }
}

/** One request where it fits into a part; else in parts, which become visible as one at the end or are taken away again. */
async function put(s3: S3, name: string, content: Readable): Promise<{ sizeBytes: number }> {
  const parts = partsOf(content);
  const [first, second] = [await parts.next(), await parts.next()];
  if (first.done || second.done) {
    const body = first.done ? Buffer.alloc(0) : first.value;
    await s3(name, { method: "PUT", body });
    return { sizeBytes: body.length };
  }
  const begun = await (await s3(name, { method: "POST", query: { uploads: "" } })).text();
  const uploadId = /<UploadId>([^<]+)<\/UploadId>/.exec(begun)?.[1];
  if (uploadId === undefined) throw unavailable(`the blob store began no upload: ${begun.slice(0, 500)}`);
  try {
    return await putParts(s3, name, uploadId, chain([first.value, second.value], parts));
  } catch (error) {
    await s3(name, { method: "DELETE", query: { uploadId } }).catch(() => {
      // The store's own rule for unfinished uploads is what is left.
    });
    throw error;
  }
}

async function putParts(s3: S3, name: string, uploadId: string, parts: AsyncIterable<Buffer<ArrayBuffer>>): Promise<{ sizeBytes: number }> {
  const tags: string[] = [];
  let sizeBytes = 0;
  for await (const body of parts) {
    const query = { partNumber: String(tags.length + 1), uploadId };
    const { headers } = await s3(name, { method: "PUT", query, body });
    tags.push(headers.get("etag") ?? "");
    sizeBytes += body.length;
  }
  const listed = tags.map((tag, at) => `<Part><PartNumber>${at + 1}</PartNumber><ETag>${tag}</ETag></Part>`).join("");
  const body = `<CompleteMultipartUpload>${listed}</CompleteMultipartUpload>`;
  const completed = await s3(name, { method: "POST", query: { uploadId }, body });
  const said = await completed.text();
  // The store begins its answer before it knows: a failure comes with status 200.
  if (!completed.ok || said.includes("<Error>")) throw unavailable(`the blob store did not complete an upload: ${said.slice(0, 500)}`);
  return { sizeBytes };
}

/** Page by page. Keys are asked for encoded: XML cannot hold every character. */
async function* list(s3: S3, before: string, prefix: string): AsyncGenerator<BlobInfo> {
  let last: string | null = null;
  for (let isTruncated = true; isTruncated; ) {
    const where: Record<string, string> = { prefix: before + prefix, ...(last !== null && { marker: last }) };
    const response = await s3(null, { method: "GET", query: { "encoding-type": "url", ...where } });
    const page = await response.text();
    if (response.status === 404) throw unavailable("the blob store has no such bucket");
    const isEncoded = textIn(page, "EncodingType") === "url";
    const previous: string | null = last;
    for (const [, entry = ""] of page.matchAll(/<Contents>(.*?)<\/Contents>/gs)) {
      const key = textIn(entry, "Key");
      last = isEncoded ? decodeURIComponent(key.replaceAll("+", " ")) : unescapeXml(key);
      yield { name: last.slice(before.length), sizeBytes: Number(textIn(entry, "Size")), putAt: Date.parse(textIn(entry, "LastModified")) };
    }
    isTruncated = textIn(page, "IsTruncated") === "true";
    if (isTruncated && last === previous) throw unavailable("the blob store says that there is more, and lists nothing");
  }
}

const textIn = (xml: string, tag: string): string => new RegExp(`<${tag}>([^<]*)</${tag}>`).exec(xml)?.[1] ?? "";

const ENTITIES: Readonly<Record<string, string>> = { "&amp;": "&", "&lt;": "<", "&gt;": ">", "&quot;": '"', "&apos;": "'" };
const unescapeXml = (text: string): string => text.replaceAll(/&(amp|lt|gt|quot|apos);/g, (entity) => ENTITIES[entity] ?? entity);

/** The content from its beginning; where the connection breaks, from there on, as long as it is the same blob. */
async function* readOn(s3: S3, name: string, begun: Response, clock: Clock): AsyncGenerator<Uint8Array> {
  const sizeBytes = Number(begun.headers.get("content-length"));
  const tag = begun.headers.get("etag");
  let response = begun;
  let readBytes = 0;
  for (let failures = 0; ; ) {
    let reason: unknown = "it ended early";
    try {
      for await (const chunk of response.body ?? []) {
        readBytes += chunk.length;
        failures = 0;
        yield chunk;
      }
    } catch (error) {
      reason = error;
    }
    if (readBytes === sizeBytes) return;
    if (++failures > READ_FAILURES_MAX) throw unavailable(`the blob ${name} cannot be read on: ${messageOf(reason)}`, reason);
    await clock.sleep(READ_RETRY_MS);
    const headers = { range: `bytes=${readBytes}-`, ...(tag === null ? {} : { "if-match": tag }) };
    response = await s3(name, { method: "GET", headers });
    if (response.status !== 206) throw unavailable(`the blob ${name} was removed or replaced while it was read`);
  }
}

async function* partsOf(content: Readable): AsyncGenerator<Buffer<ArrayBuffer>, undefined> {
  let held: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of content) {
    held.push(typeof chunk === "string" ? Buffer.from(chunk) : chunk);
    bytes += held.at(-1)?.length ?? 0;
    while (bytes >= PART_BYTES) {
      const whole = Buffer.concat(held);
      yield whole.subarray(0, PART_BYTES);
      held = [whole.subarray(PART_BYTES)];
      bytes -= PART_BYTES;
    }
  }
  if (bytes > 0) yield Buffer.concat(held);
}

async function* chain<T>(first: readonly T[], rest: AsyncIterable<T>): AsyncGenerator<T> {
  yield* first;
  yield* rest;
}
