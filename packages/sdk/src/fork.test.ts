import { expect, it } from "vitest";
import { runsOf } from "./fork.ts";
import { forkBody } from "./fork-options.ts";

it("asks for children that lie near each other in one call, never for more than a page", () => {
  expect(runsOf([])).toEqual([]);
  expect(runsOf([4, 1, 2, 900])).toEqual([
    { first: 1, last: 4 },
    { first: 900, last: 900 },
  ]);
  const all = runsOf(Array.from({ length: 2_500 }, (_, index) => index));
  expect(all.every(({ first, last }) => last - first < 1_000)).toBe(true);
  expect(all.reduce((sum, { first, last }) => sum + last - first + 1, 0)).toBe(2_500);
});

it("sends a command as it was given: a line, a list, or one with what goes with it", () => {
  expect(forkBody({ run: "ls | wc -l" }, 3)).toEqual({ count: 3, command: "ls | wc -l" });
  expect(forkBody({ run: ["ls", "-l"], policy: "first_success" }, 1)).toEqual({
    count: 1,
    command: { argv: ["ls", "-l"] },
    policy: "first_success",
  });
  expect(forkBody({ run: { command: "x", timeoutMs: 5 } }, 1)).toEqual({ count: 1, command: { shell: "x", timeoutMs: 5 } });
  expect(forkBody({ each: [{}] }, undefined)).toEqual({ each: [{}] });
});
