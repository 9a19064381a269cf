import type { Readable } from "node:stream";

/** The size of everything in a tar: headers are one block, content is filled up to whole ones. */
const BLOCK_BYTES = 512;
const NAME_BYTES = 100;
/** Long names and extended attributes; the kernel bounds both far below. */
const PAX_BYTES_MAX = 4 * 1024 * 1024;
const OUTPUT_BYTES = 128 * 1024;

const FIELD = { mode: 100, uid: 108, gid: 116, size: 124, mtime: 136, checksum: 148, type: 156, linkName: 157, major: 329, minor: 337 };
const PREFIX = { start: 345, end: 500 };

/** One entry of a tar as GNU tar writes it with `--format=posix`. Names are bytes: a filesystem knows no encoding. */
export interface Member {
  /** A character: `0` file, `1` hard link, `3` character device, `5` directory. */
  type: string;
  path: Buffer;
  linkPath: Buffer;
  sizeBytes: number;
  deviceMajor: number;
  deviceMinor: number;
  /** Extended header: keys with values that may hold any byte. May be changed; `path` and `linkpath` are in it where they are long. */
  pax: Map<string, Buffer>;
  header: Buffer;
}

/** What becomes of an entry: kept as it is now, left out, or replaced by an empty file of this name; `followedBy` an empty file comes right after it. */
export type Verdict = { kind: "keep"; followedBy?: Buffer } | { kind: "drop" } | { kind: "replace"; path: Buffer };

/** Reads a tar, asks about each entry, and yields the tar that results; content passes through unread. */
export async function* rewriteTar(tar: Readable, judge: (member: Member) => Verdict): AsyncGenerator<Buffer> {
  const input = new Input(tar);
  const output = new Output();
  for (let member = await readMember(input); member !== null; member = await readMember(input)) {
    const verdict = judge(member);
    if (verdict.kind === "keep") output.push(...encodeMember(member));
    if (verdict.kind === "replace") output.push(...encodeEmptyFile(verdict.path));
    for await (const chunk of input.content(member.sizeBytes)) {
      if (verdict.kind !== "keep") continue;
      output.push(chunk);
      if (output.isFull) yield output.take();
    }
    if (verdict.kind === "keep" && verdict.followedBy !== undefined) output.push(...encodeEmptyFile(verdict.followedBy));
    if (output.isFull) yield output.take();
  }
  // What fills the last record is read too: whoever writes it ends only when it is gone.
  await input.drain();
  output.push(Buffer.alloc(2 * BLOCK_BYTES));
  yield output.take();
}

async function readMember(input: Input): Promise<Member | null> {
  let pax = new Map<string, Buffer>();
  for (;;) {
    const header = await input.block();
    // Two blocks of zeros end a tar; the first is enough to know.
    if (header === null || header[0] === 0) return null;
    const type = String.fromCharCode(header[FIELD.type] ?? 0);
    const sizeBytes = Number(pax.get("size") ?? readNumber(header, FIELD.size, 12));
    if (type === "x") {
      if (sizeBytes > PAX_BYTES_MAX) throw new Error(`an extended header of ${sizeBytes} bytes`);
      const chunks: Buffer[] = [];
      for await (const chunk of input.content(sizeBytes)) chunks.push(chunk);
      pax = readPax(Buffer.concat(chunks).subarray(0, sizeBytes));
      continue;
    }
    const short = cString(header, 0, NAME_BYTES);
    const prefix = cString(header, PREFIX.start, PREFIX.end);
    return {
      type,
      path: pax.get("path") ?? (prefix.length > 0 ? Buffer.concat([prefix, Buffer.from("/"), short]) : short),
      linkPath: pax.get("linkpath") ?? cString(header, FIELD.linkName, FIELD.linkName + NAME_BYTES),
      sizeBytes,
      deviceMajor: readNumber(header, FIELD.major, 8),
      deviceMinor: readNumber(header, FIELD.minor, 8),
      pax,
      header,
    };
  }
}

function encodeMember({ pax, header }: Member): Buffer[] {
  // Of a sparse file GNU tar writes its own process id into the short name; the true one is in the extended header.
  const sparse = pax.get("GNU.sparse.name");
  if (sparse !== undefined) {
    header.fill(0, 0, NAME_BYTES).fill(0, PREFIX.start, PREFIX.end);
    sparse.copy(header, 0, 0, NAME_BYTES);
    sign(header);
  }
  return pax.size === 0 ? [header] : [...encodePax(pax), header];
}

function encodePax(pax: ReadonlyMap<string, Buffer>): Buffer[] {
  const body = Buffer.concat([...pax].map(([key, value]) => paxRecord(key, value)));
  return [header("PaxHeader", "x", body.length), body, Buffer.alloc(padding(body.length))];
}

/** The length that leads a record counts its own digits. */
function paxRecord(key: string, value: Buffer): Buffer {
  const rest = Buffer.concat([Buffer.from(` ${key}=`), value, Buffer.from("\n")]);
  let length = rest.length + 1;
  while (rest.length + String(length).length > length) length++;
  return Buffer.concat([Buffer.from(String(length)), rest]);
}

function encodeEmptyFile(path: Buffer): Buffer[] {
  const file = header(path, "0", 0);
  return path.length <= NAME_BYTES ? [file] : [...encodePax(new Map([["path", path]])), file];
}

/** Owned by root, of no time: equal for equal names. */
function header(path: Buffer | string, type: string, sizeBytes: number): Buffer {
  const block = Buffer.alloc(BLOCK_BYTES);
  Buffer.from(path).copy(block, 0, 0, NAME_BYTES);
  for (const [at, digits, value] of [
    [FIELD.mode, 7, 0o644],
    [FIELD.uid, 7, 0],
    [FIELD.gid, 7, 0],
    [FIELD.size, 11, sizeBytes],
    [FIELD.mtime, 11, 0],
  ] as const) {
    block.write(value.toString(8).padStart(digits, "0"), at, "latin1");
  }
  block.write(type, FIELD.type, "latin1");
  block.write("ustar\u000000", 257, "latin1");
  sign(block);
  return block;
}

function sign(block: Buffer): void {
  block.fill(" ", FIELD.checksum, FIELD.type, "latin1");
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, FIELD.checksum, "latin1");
}

function readPax(body: Buffer): Map<string, Buffer> {
  const records = new Map<string, Buffer>();
  for (let at = 0; at < body.length; ) {
    const length = Number.parseInt(body.toString("latin1", at, at + 20), 10);
    const equals = body.indexOf("=", at);
    const end = at + length;
    if (!(length > 0) || end > body.length || equals < 0 || equals >= end) throw new Error("an extended header that is none");
    records.set(body.toString("utf8", body.indexOf(" ", at) + 1, equals), body.subarray(equals + 1, end - 1));
    at = end;
  }
  return records;
}

/** Octal text, or, with the first bit set, a big-endian number. */
function readNumber(block: Buffer, at: number, length: number): number {
  const first = block[at] ?? 0;
  if ((first & 0x80) === 0)
    return (
      Number.parseInt(
        cString(block, at, at + length)
          .toString("latin1")
          .trim(),
        8,
      ) || 0
    );
  let value = 0;
  for (const byte of block.subarray(at + 1, at + length)) value = value * 256 + byte;
  return value;
}

function cString(block: Buffer, start: number, end: number): Buffer {
  const field = block.subarray(start, end);
  const zero = field.indexOf(0);
  return Buffer.from(zero < 0 ? field : field.subarray(0, zero));
}

const padding = (bytes: number): number => (BLOCK_BYTES - (bytes % BLOCK_BYTES)) % BLOCK_BYTES;

class Input {
  readonly #chunks: AsyncIterator<Buffer>;
  #rest: Buffer = Buffer.alloc(0);

  constructor(stream: Readable) {
    this.#chunks = stream[Symbol.asyncIterator]();
  }

  async block(): Promise<Buffer | null> {
    if (this.#rest.length < BLOCK_BYTES) {
      const parts = [this.#rest];
      let have = this.#rest.length;
      while (have < BLOCK_BYTES) {
        const { done, value } = await this.#chunks.next();
        if (done) return null;
        parts.push(value);
        have += value.length;
      }
      this.#rest = Buffer.concat(parts);
    }
    const block = Buffer.from(this.#rest.subarray(0, BLOCK_BYTES));
    this.#rest = this.#rest.subarray(BLOCK_BYTES);
    return block;
  }

  /** To the stream's end, which holds nothing more that counts. */
  async drain(): Promise<void> {
    this.#rest = Buffer.alloc(0);
    for (let next = await this.#chunks.next(); !next.done; next = await this.#chunks.next());
  }

  /** The content of an entry with what fills its last block. */
  async *content(sizeBytes: number): AsyncGenerator<Buffer> {
    let left = sizeBytes + padding(sizeBytes);
    while (left > 0) {
      if (this.#rest.length === 0) {
        const { done, value } = await this.#chunks.next();
        if (done) throw new Error("the tar ends in the middle of an entry");
        this.#rest = value;
      }
      const part = this.#rest.subarray(0, left);
      this.#rest = this.#rest.subarray(part.length);
      left -= part.length;
      yield part;
    }
  }
}

/** Gathers small pieces: a tar of many small files would else be mostly stream overhead. */
class Output {
  #parts: Buffer[] = [];
  #bytes = 0;

  push(...parts: Buffer[]): void {
    for (const part of parts) {
      this.#parts.push(part);
      this.#bytes += part.length;
    }
  }

  get isFull(): boolean {
    return this.#bytes >= OUTPUT_BYTES;
  }

  take(): Buffer {
    const whole = Buffer.concat(this.#parts);
    this.#parts = [];
    this.#bytes = 0;
    return whole;
  }
}
