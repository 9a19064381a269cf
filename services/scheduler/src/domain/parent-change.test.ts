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
  expect(parentChange(parent([image], true), { layers: [image, frozen], shipped: null })).toEqual({
    kind: "compare",
    layers: [frozen.digest],
  });
  const shipped = [image, own];
  expect(parentChange(parent([image], true), { layers: [image, frozen], shipped })).toMatchObject({ layers: [frozen.digest, own.digest] });
  expect(parentChange(parent([image], true), { layers: [image, frozen], shipped: [own] }), "flattened").toMatchObject({
    layers: [frozen.digest],
  });
});

it("knows by the row alone that a parent without a disk is as it was", () => {
  expect(parentChange(parent([image, own], false), { layers: [image, own], shipped: null })).toEqual({ kind: "unchanged" });
});

it.each<[string, ReturnType<typeof parent>, { layers: { digest: string; sizeBytes: number }[]; shipped: null } | null]>([
  ["the fork is forgotten", parent([image], true), null],
  ["the parent was archived since", parent([image, own], false), { layers: [image, frozen], shipped: null }],
  ["the parent took over a child's files since", parent([image, own], true), { layers: [image, frozen], shipped: null }],
  ["the parent has run since, without a disk then", parent([image, own], true), { layers: [image, own], shipped: null }],
  ["the disk that was frozen is gone", parent([image], false), { layers: [image, frozen], shipped: null }],
])("cannot tell where %s", (_why, of, base) => {
  expect(parentChange(of, base).kind).toBe("unknown");
});
