import { Readable, Transform, type TransformCallback } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGunzip, createZstdDecompress } from "node:zlib";
import { fault, LIMITS } from "@banyan/contracts";
import { AppError, messageOf } from "@banyan/kernel";
import { extract } from "tar-stream";
import type { Entry } from "./tar-streams.ts";

const HEAD_BYTES = 4;
const GZIP = Buffer.from([0x1f, 0x8b]);
const ZSTD = Buffer.from([0x28, 0xb5, 0x2f, 0xfd]);

/**
 * The entries of a tar that somebody sent: plain, gzip or zstd. Each must be read or resumed before the next comes. However far it unpacks,
 * it ends at the bound of a context.
 */
export async function* entriesOf(sent: Readable, bytesMax: number = LIMITS.contextBytes): AsyncGenerator<Entry> {
  const entries = extract();
  // Where this fails the entries fail with it.
  const flowing = pipeline(inflate(sent), new Bounded(bytesMax), entries).catch(() => {});
  try {
    yield* entries;
  } catch (cause) {
    if (cause instanceof AppError) throw cause;
    throw refused("", `it is not a whole tar: ${messageOf(cause)}`, cause);
  } finally {
    entries.destroy();
    await flowing;
  }
}

/** The plain bytes of what was sent. */
export function inflate(sent: Readable): Readable {
  return Readable.from(inflated(sent), { objectMode: false });
}

async function* inflated(sent: Readable): AsyncGenerator<Buffer> {
  const chunks = sent[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  let head: Buffer = Buffer.alloc(0);
  while (head.length < HEAD_BYTES) {
    const next = await chunks.next();
    if (next.done) break;
    head = Buffer.concat([head, next.value]);
  }
  const whole = Readable.from(
    (async function* () {
      yield head;
      yield* { [Symbol.asyncIterator]: () => chunks };
    })(),
    { objectMode: false },
  );
  const codec = head.subarray(0, 2).equals(GZIP) ? createGunzip() : head.subarray(0, 4).equals(ZSTD) ? createZstdDecompress() : null;
  if (codec === null) return yield* whole;
  const flowing = pipeline(whole, codec);
  flowing.catch(() => {});
  yield* codec;
  await flowing;
}

class Bounded extends Transform {
  readonly #bytesMax: number;
  #bytes = 0;

  constructor(bytesMax: number) {
    super();
    this.#bytesMax = bytesMax;
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    this.#bytes += chunk.length;
    if (this.#bytes <= this.#bytesMax) done(null, chunk);
    else done(refused("", `it unpacks to more than ${this.#bytesMax} bytes`));
  }
}

const PATH_SHOWN_MAX = 200;

export function refused(path: string, problem: string, cause?: unknown): AppError {
  const details = { ...(path !== "" && { path: path.slice(0, PATH_SHOWN_MAX) }), problem };
  const where = path === "" ? "The uploaded tar" : `\`${details.path}\` in the uploaded tar`;
  return fault("context.refused", details, { cause, message: `${where} is refused: ${problem}.` });
}
