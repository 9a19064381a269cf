import { expect, it } from "vitest";
import { treesOf } from "./diff-trees.ts";
import type { StoredSandbox } from "./stored-files.ts";

const stored = (name: string, ...layers: string[]): StoredSandbox => ({
  sandboxId: name,
  running: false,
  upper: `/${name}`,
  layers: layers.map((digest) => ({ digest, directory: `/layers/${digest}` })),
  use: () => () => {},
});

it("compares a sandbox with its whole stack", async () => {
  expect(await treesOf(stored("one", "a", "b"), null)).toEqual({
    now: ["/one"],
    before: [],
    base: ["/layers/b", "/layers/a"],
    leftOut: [".banyan"],
  });
});

it("takes what two sandboxes have frozen since they parted as part of each", async () => {
  expect(await treesOf(stored("child", "a", "b", "frozen:1", "c"), stored("parent", "a", "b"))).toEqual({
    now: ["/child", "/layers/c", "/layers/frozen:1"],
    before: ["/parent"],
    base: ["/layers/b", "/layers/a"],
    leftOut: [".banyan"],
  });
  expect(await treesOf(stored("one", "a", "x"), stored("other", "a", "y", "x"))).toMatchObject({
    now: ["/one", "/layers/x"],
    before: ["/other", "/layers/x", "/layers/y"],
    base: ["/layers/a"],
  });
});

it("compares nothing with one that stands on something else", async () => {
  await expect(treesOf(stored("one", "a"), stored("other", "b", "a"))).rejects.toMatchObject({ code: "diff.unrelated" });
});
