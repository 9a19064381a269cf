import { expect, it } from "vitest";
import { preferredWaitS } from "./prefer.ts";

it.each<[string | undefined, number | null]>([
  [undefined, null],
  ["", null],
  ["respond-async", null],
  ["wait=5", 5],
  ["respond-async, Wait = 10", 10],
  ['wait="7"; foo=1', 7],
  ["wait=99999", 600],
  ["wait=-1", null],
  ["await=3", null],
])("reads %j as %s", (header, seconds) => {
  expect(preferredWaitS(header, 600)).toBe(seconds);
});
