import { expect, it } from "vitest";
import { parseInVolume, parseMount, quotaMb } from "./volume-values.ts";

it("tells a place in a volume from one here", () => {
  expect(parseInVolume("data:/a:b")).toEqual({ volume: "data", version: null, path: "/a:b" });
  expect(parseInVolume("data:")).toEqual({ volume: "data", version: null, path: "/" });
  expect(parseInVolume("data@v1:a")).toEqual({ volume: "data", version: "v1", path: "/a" });
  expect(parseInVolume("vol_01k9@ver_01k9:/a")).toEqual({ volume: "vol_01k9", version: "ver_01k9", path: "/a" });
  for (const here of ["./data:/a", "/data:/a", "../a", "data", "a/b:/c", "A:/b", ""]) expect(parseInVolume(here)).toBeNull();
});

it("reads a mount, its mode and what of the volume it shows", () => {
  expect(parseMount("data:/data")).toEqual({ volume: "data", path: "/data" });
  expect(parseMount("data@v1:/data:cow")).toEqual({ volume: "data", version: "v1", path: "/data", mode: "cow" });
  expect(parseMount("data:/data:ro:a/b:c")).toEqual({ volume: "data", path: "/data", mode: "ro", subpath: "a/b:c" });
  expect(parseMount("data:/data::a")).toEqual({ volume: "data", path: "/data", subpath: "a" });
  expect(() => parseMount("data:/data:a")).toThrow(/rw, ro, cow/);
  for (const wrong of ["data", "data:", ":/data", "../x:/data"]) expect(() => parseMount(wrong)).toThrow(/<volume>/);
});

it.each([
  ["512", 512],
  ["512M", 512],
  ["10g", 10_240],
  ["1.5GB", 1_536],
  ["2T", 2_097_152],
  ["none", null],
])("reads the quota %s", (text, mb) => expect(quotaMb(text)).toBe(mb));

it.each(["", "-1", "much", "1k", "1 000"])("refuses the quota %j", (text) => expect(() => quotaMb(text)).toThrow(/10G/));
