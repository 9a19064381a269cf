import { expect, it } from "vitest";
import { maskOf } from "./mask.ts";

it("takes every value out, a longer one before a shorter one it holds", () => {
  const mask = maskOf({ A: "hunter2", B: "hunter2-and-more", C: "" });
  expect(mask("x hunter2-and-more y hunter2 z")).toBe("x *** y *** z");
});

it("takes out the lines of a key one by one, as a log shows them", () => {
  const mask = maskOf({ KEY: "-----BEGIN-----\nAAAABBBB\nx\n-----END-----\n" });
  expect(["-----BEGIN-----", "line: AAAABBBB", "x"].map(mask)).toEqual(["***", "line: ***", "x"]);
});

it("changes nothing where there is no secret", () => {
  expect(maskOf({})("abc")).toBe("abc");
});
