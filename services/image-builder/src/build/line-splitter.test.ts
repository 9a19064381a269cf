import { expect, it } from "vitest";
import { LineSplitter } from "./line-splitter.ts";

function split(chunks: string[], bytesMax?: number): string[] {
  const lines: string[] = [];
  const splitter = new LineSplitter((line) => lines.push(line), bytesMax);
  for (const chunk of chunks) splitter.write(Buffer.from(chunk));
  splitter.end();
  return lines;
}

it("gives lines however they arrive", () => {
  expect(split(["on", "e\ntw", "o\n\nthree"])).toEqual(["one", "two", "", "three"]);
});

it("cuts what never ends", () => {
  expect(split(["abcdefgh", "ij\nk"], 4)).toEqual(["abcd", "efgh", "ij", "k"]);
});

it("shows what a progress bar showed last, and no NUL", () => {
  expect(split(["10%\r50%\r100%\r\n", "a\0b\n"])).toEqual(["100%", "a\u{fffd}b"]);
});
