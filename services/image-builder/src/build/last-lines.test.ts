import { expect, it } from "vitest";
import { LastLines } from "./last-lines.ts";

it("keeps the end of what was said, in order", () => {
  const lines = new LastLines();
  lines.add("stderr", "before");
  for (let each = 0; each < 100; each++) lines.add(each % 2 === 0 ? "stdout" : "stderr", `${each}`);
  expect(lines.get()).toEqual(Array.from({ length: 50 }, (_, index) => `${index + 50}`));
});

it("keeps what stderr said, however much stdout says after it", () => {
  const lines = new LastLines();
  lines.add("stderr", "it broke");
  for (let each = 0; each < 1_000; each++) lines.add("stdout", `${each}`);
  const last = lines.get();
  expect([last.length, last[0], last.at(-1)]).toEqual([50, "it broke", "999"]);
});

it("shows all of what is little", () => {
  const lines = new LastLines();
  expect(lines.get()).toEqual([]);
  lines.add("stdout", "a");
  expect(lines.get()).toEqual(["a"]);
});
