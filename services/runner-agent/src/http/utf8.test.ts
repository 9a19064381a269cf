import fc from "fast-check";
import { expect, it } from "vitest";
import { toText, Utf8Chunks } from "./utf8.ts";

function cutAt(bytes: Buffer, cuts: number[]): Buffer[] {
  const edges = [0, ...cuts.map((cut) => cut % (bytes.length + 1)).sort((a, b) => a - b), bytes.length];
  return edges.slice(1).map((end, i) => bytes.subarray(edges[i], end));
}

function throughChunks(pieces: Buffer[]) {
  const chunks = new Utf8Chunks();
  return [...pieces.map((piece) => chunks.push(piece)), chunks.end()].filter((chunk) => chunk !== null);
}

it("gives back valid text as text, wherever it is cut", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), fc.array(fc.nat(), { maxLength: 8 }), (text, cuts) => {
      const bytes = Buffer.from(text.toWellFormed());
      const chunks = throughChunks(cutAt(bytes, cuts));
      expect(chunks.map((chunk) => ("text" in chunk ? chunk.text : "not text")).join("")).toBe(text.toWellFormed());
    }),
  );
});

it("loses no byte of what is not UTF-8", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), fc.array(fc.nat(), { maxLength: 8 }), (array, cuts) => {
      const bytes = Buffer.from(array);
      const chunks = throughChunks(cutAt(bytes, cuts));
      const back = Buffer.concat(chunks.map((chunk) => ("text" in chunk ? Buffer.from(chunk.text) : Buffer.from(chunk.base64, "base64"))));
      expect(back.equals(bytes)).toBe(true);
    }),
  );
});

it("says what ends in half a character as base64, at the end only", () => {
  expect(throughChunks([Buffer.from([0x61, 0xe2, 0x82])])).toEqual([{ text: "a" }, { base64: "4oI=" }]);
});

it("replaces what is not valid, but does not show half a character where output was cut", () => {
  const half = Buffer.from([0x61, 0xe2, 0x82]);
  expect(toText([half], false)).toBe("a\ufffd");
  expect(toText([half], true)).toBe("a");
  expect(toText([Buffer.from([0xe2]), Buffer.from([0x82, 0xac])], true)).toBe("€");
});
