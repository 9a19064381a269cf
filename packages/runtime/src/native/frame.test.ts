import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { encodeFrame, encodeHeader, type Field, Fields, type Frame, FrameDecoder } from "./frame.ts";
import { NativeError } from "./native-error.ts";
import { Limit, Tag, Type } from "./wire.ts";

/** Every frame of `chunks`, copied, for a payload is a view of what may be reused. */
function decode(chunks: Iterable<Uint8Array>): Frame[] {
  const decoder = new FrameDecoder();
  return [...chunks].flatMap((chunk) =>
    [...decoder.push(Buffer.from(chunk))].map(({ type, payload }) => ({ type, payload: Buffer.from(payload) })),
  );
}

function* cut(bytes: Buffer, sizes: readonly number[]): Generator<Buffer> {
  let at = 0;
  for (let i = 0; at < bytes.length; i++) {
    const size = sizes[i % sizes.length] ?? 1;
    yield bytes.subarray(at, at + size);
    at += size;
  }
}

const text = fc.string({ unit: "grapheme" }).filter((value) => !value.includes("\0"));
const value = fc.oneof(text, fc.uint8Array(), fc.bigInt(0n, 2n ** 64n - 1n), fc.maxSafeNat());
const fields = fc.uniqueArray(fc.tuple(fc.integer({ min: 1, max: 63 }), value), { selector: ([tag]) => tag });

describe("a frame", () => {
  it("comes back as it was, however the stream is cut", () => {
    const messages = fc.array(fc.tuple(fc.integer({ min: 1, max: 60 }), fields), { maxLength: 5 });
    fc.assert(
      fc.property(messages, fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 5 }), (sent, sizes) => {
        const stream = Buffer.concat(sent.map(([type, each]) => encodeFrame(type, each)));
        const received = decode(cut(stream, sizes));
        expect(received.map(({ type }) => type)).toEqual(sent.map(([type]) => type));
        for (const [i, [, each]] of sent.entries()) expectFields(new Fields(received[i]?.payload ?? Buffer.alloc(0)), each);
      }),
    );
  });

  it("is told apart from the raw bytes that follow it", () => {
    const decoder = new FrameDecoder();
    const chunk = Buffer.concat([encodeFrame(Type.Ok, []), Buffer.from("raw bytes, no frame")]);
    expect(decoder.push(chunk).next().value).toMatchObject({ type: Type.Ok });
    expect(decoder.takeRest().toString()).toBe("raw bytes, no frame");
    expect(decoder.isEmpty).toBe(true);
  });

  it.each([
    ["longer than any", 200, Limit.FrameMax + 1],
    ["of 4 GiB", Type.Exit, 2 ** 32 - 1],
    ["of data longer than data may be", Type.Data, Limit.DataMax + 1],
    ["of output longer than output may be", Type.Stdout, Limit.FrameMax],
  ])("is refused when it is %s, before its bytes are waited for", (_, type, length) => {
    expect(() => decode([encodeHeader(type, length)])).toThrow(NativeError);
  });

  it("is not made when the other side would refuse it", () => {
    expect(() => encodeFrame(Type.Exec, [[Tag.Argv, "a\0b"]])).toThrow(NativeError);
    expect(() => encodeFrame(Type.Exec, [[Tag.Argv, "x".repeat(Limit.FrameMax)]])).toThrow(NativeError);
    expect(() =>
      encodeFrame(
        Type.Exec,
        Array.from({ length: Limit.FieldsMax + 1 }, (): Field => [Tag.Argv, ""]),
      ),
    ).toThrow(NativeError);
  });
});

describe("garbage", () => {
  it("gives frames or a violation, and nothing else", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1 }), (bytes, sizes) => {
        try {
          const total = decode(cut(Buffer.from(bytes), sizes)).reduce(
            (sum, { payload }) => sum + payload.length + Limit.FrameHeaderBytes,
            0,
          );
          expect(total).toBeLessThanOrEqual(bytes.length);
        } catch (error) {
          expect(error).toMatchObject({ name: "NativeError", code: "protocol" });
        }
      }),
    );
  });

  it("as fields is read within its bounds or is a violation", () => {
    const almost = fields.chain((each) =>
      fc.tuple(fc.constant(encodeFrame(1, each).subarray(Limit.FrameHeaderBytes)), fc.nat(), fc.nat(255)).map(([bytes, at, byte]) => {
        const changed = Buffer.from(bytes);
        if (changed.length > 0) changed[at % changed.length] = byte;
        return changed;
      }),
    );
    fc.assert(
      fc.property(fc.oneof(almost, fc.uint8Array()), (bytes) => {
        try {
          const read = new Fields(Buffer.from(bytes));
          for (let tag = 0; tag < 256; tag++) if (read.has(tag)) expect(read.bytes(tag).length).toBeLessThan(bytes.length);
        } catch (error) {
          expect(error).toMatchObject({ name: "NativeError", code: "protocol" });
        }
      }),
    );
  });

  it.each([
    ["a missing field", [], (read: Fields) => read.number(Tag.Pid)],
    ["a number of 7 bytes", [[Tag.Pid, Buffer.alloc(7)]], (read: Fields) => read.number(Tag.Pid)],
    ["a number that is not exact here", [[Tag.Pid, 2n ** 53n]], (read: Fields) => read.number(Tag.Pid)],
    ["more fields than a reply has", Array.from({ length: 65 }, (_, tag) => [tag, ""]), () => undefined],
    [
      "a field that comes twice",
      [
        [Tag.Pid, 1],
        [Tag.Pid, 2],
      ],
      () => undefined,
    ],
  ] as [string, Field[], (read: Fields) => unknown][])("is %s", (_, sent, read) => {
    expect(() => read(new Fields(encodeFrame(1, sent).subarray(Limit.FrameHeaderBytes)))).toThrow(
      expect.objectContaining({ code: "protocol" }),
    );
  });
});

function expectFields(read: Fields, sent: readonly Field[]): void {
  for (const [tag, value] of sent) {
    if (typeof value === "string") expect(read.text(tag)).toBe(Buffer.from(value).toString());
    else if (typeof value === "object") expect(read.bytes(tag)).toEqual(Buffer.from(value));
    else expect(read.bigint(tag)).toBe(BigInt(value));
  }
}
