import { expect, it } from "vitest";
import { parentChange } from "./parent-change.ts";
import { sandboxOf } from "./sandbox.fixture.ts";

const layer = (digest: string) => ({ digest, sizeBytes: 1 });
const [image, own, frozen] = [layer("sha256:image"), layer("sha256:own"), layer("frozen:frz_1")];
const parent = (layers: { digest: string; sizeBytes: number }[], hasDisk: boolean) => {
  const { stack } = sandboxOf();
  return { stack: { ...stack, layers }, hasDisk };
};

it("has a parent compared whose files were frozen at the fork", () => {
  expect(parentChange(parent([image], true), { layers: [image, frozen] })).toEqual({ kind: "compare", frozen: frozen.digest });
});

it("knows by the row alone that a parent without a disk is as it was", () => {
  expect(parentChange(parent([image, own], false), { layers: [image, own] })).toEqual({ kind: "unchanged" });
});

it.each<[string, ReturnType<typeof parent>, { layers: { digest: string; sizeBytes: number }[] } | null]>([
  ["the fork is forgotten", parent([image], true), null],
  ["the parent was archived since", parent([image, own], false), { layers: [image, frozen] }],
  ["the parent took over a child's files since", parent([image, own], true), { layers: [image, frozen] }],
  ["the parent has run since, without a disk then", parent([image, own], true), { layers: [image, own] }],
  ["the disk that was frozen is gone", parent([image], false), { layers: [image, frozen] }],
])("cannot tell where %s", (_why, of, base) => {
  expect(parentChange(of, base).kind).toBe("unknown");
});
