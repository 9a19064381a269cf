import { expect, it } from "vitest";
import { parseRange } from "./range.ts";

it.each([
  ["bytes=0-0", { kind: "part", start: 0, length: 1 }],
  ["bytes=10-", { kind: "part", start: 10, length: 90 }],
  ["bytes=10-19", { kind: "part", start: 10, length: 10 }],
  ["bytes=90-1000", { kind: "part", start: 90, length: 10 }],
  ["bytes=-7", { kind: "part", start: 93, length: 7 }],
  ["bytes=-1000", { kind: "part", start: 0, length: 100 }],
  ["bytes=100-", { kind: "unsatisfiable" }],
  ["bytes=-0", { kind: "unsatisfiable" }],
])("reads %s of 100 bytes", (header, wanted) => {
  expect(parseRange(header, 100)).toEqual(wanted);
});

it.each([undefined, "", "bytes=-", "bytes=5-2", "bytes=0-1,5-6", "items=0-1", "bytes=a-b", "bytes=99999999999999999999-"])(
  "answers %s with the whole",
  (header) => {
    expect(parseRange(header, 100)).toEqual({ kind: "whole" });
  },
);

it("has nothing to give of an empty file", () => {
  expect(parseRange("bytes=0-", 0)).toEqual({ kind: "unsatisfiable" });
});
