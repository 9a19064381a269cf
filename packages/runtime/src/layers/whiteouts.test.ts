import { expect, it } from "vitest";
import { classify } from "./whiteouts.ts";

it("tells what hides a name from what hides a directory's content", () => {
  expect(classify(["etc/.wh.passwd", "usr/share/.wh..wh..opq", ".wh.top"])).toEqual({
    opaque: ["usr/share"],
    hidden: ["etc/passwd", "top"],
  });
});

it("makes nothing of marks that name nothing", () => {
  expect(classify(["a/.wh.", "a/.wh...", "a/.wh..", ".wh..wh.plnk"])).toEqual({ opaque: [], hidden: [] });
});
