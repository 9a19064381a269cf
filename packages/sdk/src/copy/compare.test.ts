import { expect, it } from "vitest";
import { compare, type Found } from "./compare.ts";

const file = (changed: Partial<Extract<Found, { type: "file" }>> = {}): Found => ({
  type: "file",
  size: 3,
  mtimeMs: 1_000,
  mode: 0o644,
  ...changed,
});
const directory = (mode = 0o755): Found => ({ type: "directory", mode });
const link = (target: string): Found => ({ type: "symlink", target });
const other: Found = { type: "other" };

it.each<[string, Found, Found | undefined, Parameters<typeof compare>[2], object]>([
  ["copies what is not there", file(), undefined, {}, { kind: "copy", replaces: false }],
  ["leaves what has the same size and time", file(), file(), {}, { kind: "none" }],
  ["copies another size", file(), file({ size: 4 }), {}, { kind: "copy", replaces: false }],
  ["copies another time, an earlier one too", file(), file({ mtimeMs: 2_000 }), {}, { kind: "copy", replaces: false }],
  ["does not look at times where only sizes count", file(), file({ mtimeMs: 2_000 }), { sizeOnly: true }, { kind: "none" }],
  ["changes a mode alone where the content is the same", file(), file({ mode: 0o600 }), {}, { kind: "mode" }],
  [
    "looks at the content where that was asked for, whatever the times",
    file(),
    file(),
    { checksum: true },
    { kind: "check", modeDiffers: false },
  ],
  ["looks at no content where the sizes differ", file(), file({ size: 4 }), { checksum: true }, { kind: "copy", replaces: false }],
  ["leaves a link with the same target", link("a"), link("a"), {}, { kind: "none" }],
  ["replaces a link with another target", link("a"), link("b"), {}, { kind: "copy", replaces: true }],
  ["replaces a link by a file", file(), link("a"), {}, { kind: "copy", replaces: true }],
  ["replaces a file by a directory", directory(), file(), {}, { kind: "copy", replaces: true }],
  ["leaves a directory that is there", directory(), directory(), {}, { kind: "none" }],
  ["changes the mode of a directory", directory(), directory(0o700), {}, { kind: "mode" }],
  ["replaces a directory by a file where it may delete", file(), directory(), { delete: true }, { kind: "copy", replaces: true }],
  ["skips what is no file, directory or link", other, undefined, {}, { kind: "skip" }],
  ["replaces a device by a file", file(), other, {}, { kind: "copy", replaces: true }],
])("%s", (_what, here, there, by, deed) => {
  expect(compare(here, there, by)).toEqual(deed);
});

it("does not give up a directory for a file unless it may delete", () => {
  expect(compare(file(), directory(), {})).toMatchObject({ kind: "refuse", reason: expect.stringContaining("delete") });
});
