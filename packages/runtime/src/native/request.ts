import { asNativeError } from "./connection.ts";
import { encodeFrame, encodeHeader, type Field, Fields, type Frame } from "./frame.ts";
import { FrameStream } from "./frame-stream.ts";
import { NativeError, protocolViolation } from "./native-error.ts";
import { Limit, Type } from "./wire.ts";

export interface CallOptions {
  /** How long the whole answer may take. */
  deadlineMs?: number;
  signal?: AbortSignal;
}

export type Bytes = AsyncIterable<Uint8Array> | Iterable<Uint8Array> | Uint8Array | string;

/** Most requests end in milliseconds; a stopped handler or a lost node must not keep their caller. */
const DEADLINE_MS = 30_000;

/** One answer is one frame: OK with its fields, or whatever else `expected` names. */
export async function call(
  socketPath: string,
  type: number,
  fields: readonly Field[],
  options: CallOptions = {},
  expected: number = Type.Ok,
): Promise<Buffer> {
  const stream = new FrameStream(socketPath, encodeFrame(type, fields), options.signal);
  return withDeadline(stream, options.deadlineMs ?? DEADLINE_MS, () => onlyFrame(stream, expected));
}

export async function withDeadline<T>(stream: FrameStream, deadlineMs: number, work: () => Promise<T>): Promise<T> {
  const late = (): NativeError => new NativeError("timeout", `the sandbox's init did not answer within ${deadlineMs} ms`);
  const timer = setTimeout(() => stream.connection.fail(late()), deadlineMs);
  try {
    return await work();
  } finally {
    clearTimeout(timer);
    stream.connection.close();
  }
}

export async function onlyFrame(stream: FrameStream, expected: number): Promise<Buffer> {
  const next = await stream.next();
  if (next.done) throw new NativeError("connection_lost", "the sandbox's init closed the connection without an answer");
  if (next.value.type !== expected) throw protocolViolation(`frame ${next.value.type} instead of ${expected}`);
  return next.value.payload;
}

/** Frames of one type, then OK; its fields are what the generator returns. */
export async function* framesUntilOk(stream: FrameStream, types: readonly number[]): AsyncGenerator<Frame, Fields, undefined> {
  try {
    for await (const frame of stream) {
      if (frame.type === Type.Ok) return new Fields(frame.payload);
      if (!types.includes(frame.type)) throw protocolViolation(`frame ${frame.type} in this answer`);
      yield frame;
    }
    throw new NativeError("connection_lost", "the sandbox's init closed the connection before its answer was whole");
  } finally {
    stream.connection.close();
  }
}

/** All of them read, kept in a list that may hold at most `most`. */
export async function collect<T>(
  stream: FrameStream,
  type: number,
  most: number,
  read: (payload: Buffer) => T,
): Promise<{ items: T[]; ok: Fields }> {
  const items: T[] = [];
  const frames = framesUntilOk(stream, [type]);
  for (;;) {
    const next = await frames.next();
    if (next.done) return { items, ok: next.value };
    if (items.length === most) {
      stream.connection.close();
      throw protocolViolation(`more than ${most} answers`);
    }
    items.push(read(next.value.payload));
  }
}

export async function writeData(stream: FrameStream, bytes: Uint8Array): Promise<void> {
  const whole = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 0; at < whole.length; at += Limit.DataMax) {
    const part = whole.subarray(at, at + Limit.DataMax);
    await stream.connection.writeFrame(encodeHeader(Type.Data, part.length), part);
  }
}

/**
 * Sends what `send` writes and waits for the answer. The other side may refuse at any moment, so the answer is listened for
 * from the start; its refusal is what the caller sees, not the broken pipe that follows from it.
 */
export async function sendStream(stream: FrameStream, send: () => Promise<void>, end: readonly Field[] = []): Promise<Fields> {
  const answer = onlyFrame(stream, Type.Ok);
  answer.catch(() => undefined);
  try {
    await send();
    await stream.connection.write(encodeFrame(Type.End, end));
  } catch (cause) {
    // A failing source must not look like the end of the content: only END makes it whole.
    stream.connection.fail(asNativeError(cause));
    throw stream.failure ?? cause;
  }
  const payload = await answer;
  stream.connection.close();
  return new Fields(payload);
}

export async function sendBytes(stream: FrameStream, content: Bytes): Promise<void> {
  if (typeof content === "string") return writeData(stream, Buffer.from(content));
  if (content instanceof Uint8Array) return writeData(stream, content);
  for await (const chunk of content) await writeData(stream, chunk);
}
