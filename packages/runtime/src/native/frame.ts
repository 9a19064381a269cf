import { NativeError, protocolViolation } from "./native-error.ts";
import { Limit, Type } from "./wire.ts";

export type FieldValue = string | Uint8Array | number | bigint;
export type Field = readonly [tag: number, value: FieldValue];

export interface Frame {
  type: number;
  payload: Buffer;
}

const FIELD_HEADER_BYTES = 5;
const NUMBER_BYTES = 8;
/** A reply holds a dozen fields; what holds more was not made by us. */
const REPLY_FIELDS_MAX = 64;

function valueBytes(value: FieldValue): number {
  if (typeof value === "string") return Buffer.byteLength(value);
  return typeof value === "object" ? value.byteLength : NUMBER_BYTES;
}

function writeField(frame: Buffer, at: number, [tag, value]: Field): number {
  const length = valueBytes(value);
  frame[at] = tag;
  frame.writeUInt32LE(length, at + 1);
  const start = at + FIELD_HEADER_BYTES;
  if (typeof value === "string") frame.write(value, start);
  else if (typeof value === "object") frame.set(value, start);
  else frame.writeBigInt64LE(BigInt.asIntN(64, BigInt(value)), start);
  return start + length;
}

/** One frame of fields. Refuses what the other side would refuse, before anything is sent. */
export function encodeFrame(type: number, fields: readonly Field[]): Buffer {
  let length = 0;
  for (const [, value] of fields) {
    if (typeof value === "string" && value.includes("\0")) throw new NativeError("bad_request", "a text may not hold a NUL byte");
    length += FIELD_HEADER_BYTES + valueBytes(value);
  }
  if (length > Limit.FrameMax) throw new NativeError("bad_request", `a request of ${length} bytes, ${Limit.FrameMax} is the most`);
  if (fields.length > Limit.FieldsMax) throw new NativeError("bad_request", `a request of ${fields.length} fields`);
  const frame = Buffer.allocUnsafe(Limit.FrameHeaderBytes + length);
  frame.writeUInt32LE(length, 0);
  frame[4] = type;
  let at: number = Limit.FrameHeaderBytes;
  for (const field of fields) at = writeField(frame, at, field);
  return frame;
}

export function encodeHeader(type: number, payloadBytes: number): Buffer {
  const header = Buffer.allocUnsafe(Limit.FrameHeaderBytes);
  header.writeUInt32LE(payloadBytes, 0);
  header[4] = type;
  return header;
}

function isRaw(type: number): boolean {
  return type === Type.Stdout || type === Type.Stderr || type === Type.Data || type === Type.Stdin;
}

/** Takes bytes as they come, gives whole frames, and never holds more than one unfinished frame and the newest chunk. */
export class FrameDecoder {
  #pending: Buffer | undefined;

  /** The frames that are whole now. Throws on the first that no honest peer would send. */
  *push(chunk: Buffer): Generator<Frame, void, void> {
    let bytes = this.#pending === undefined ? chunk : Buffer.concat([this.#pending, chunk]);
    this.#pending = undefined;
    while (bytes.length >= Limit.FrameHeaderBytes) {
      const length = bytes.readUInt32LE(0);
      const type = bytes[4] ?? 0;
      if (length > (isRaw(type) ? Limit.DataMax : Limit.FrameMax)) throw protocolViolation(`a frame of ${length} bytes, type ${type}`);
      const end = Limit.FrameHeaderBytes + length;
      if (bytes.length < end) break;
      const payload = bytes.subarray(Limit.FrameHeaderBytes, end);
      bytes = bytes.subarray(end);
      // Kept before the frame is handed out: its receiver may stop here and take the rest as raw bytes.
      this.#pending = bytes;
      yield { type, payload };
    }
    this.#pending = bytes.length > 0 ? bytes : undefined;
  }

  /** What came after the last whole frame. */
  takeRest(): Buffer {
    const rest = this.#pending ?? Buffer.alloc(0);
    this.#pending = undefined;
    return rest;
  }

  get isEmpty(): boolean {
    return this.#pending === undefined || this.#pending.length === 0;
  }
}

/** The fields of one reply, checked as they are asked for. */
export class Fields {
  readonly #values = new Map<number, Buffer>();

  constructor(payload: Buffer) {
    let at = 0;
    while (at < payload.length) {
      if (this.#values.size === REPLY_FIELDS_MAX) throw protocolViolation("too many fields");
      if (payload.length - at < FIELD_HEADER_BYTES) throw protocolViolation("a cut field");
      const tag = payload[at] ?? 0;
      const length = payload.readUInt32LE(at + 1);
      at += FIELD_HEADER_BYTES;
      if (length > payload.length - at) throw protocolViolation("a field longer than its frame");
      if (this.#values.has(tag)) throw protocolViolation(`field ${tag} twice`);
      this.#values.set(tag, payload.subarray(at, at + length));
      at += length;
    }
  }

  has(tag: number): boolean {
    return this.#values.has(tag);
  }

  bytes(tag: number): Buffer {
    const value = this.#values.get(tag);
    if (value === undefined) throw protocolViolation(`field ${tag} is missing`);
    return value;
  }

  text(tag: number, absent?: string): string {
    if (absent !== undefined && !this.has(tag)) return absent;
    return this.bytes(tag).toString("utf8");
  }

  /** Unsigned and exact: a number that JavaScript cannot hold is a violation, not a rounding. */
  number(tag: number, absent?: number): number {
    if (absent !== undefined && !this.has(tag)) return absent;
    const value = this.bigint(tag);
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw protocolViolation(`field ${tag} is out of range`);
    return Number(value);
  }

  bigint(tag: number): bigint {
    const value = this.bytes(tag);
    if (value.length !== NUMBER_BYTES) throw protocolViolation(`field ${tag} is no number`);
    return value.readBigUInt64LE(0);
  }
}
