import { LIMITS, type MountOrder, type VolumeMount } from "@banyan/contracts";
import { expect, it } from "vitest";
import { isMountRefusal, isSameMount, mountIssue, mountsOf, mountsOfChildren } from "./mounts.ts";

const mount = (path: string, more: Partial<VolumeMount> = {}): VolumeMount => ({
  volume: "vol_1",
  version: null,
  path,
  subpath: "",
  mode: "rw",
  ...more,
});
const order = (store: string): MountOrder => ({
  path: "/data",
  subpath: "",
  mode: "rw",
  source: { kind: "directory", store, volumeId: "vol_1", versionId: null },
});

it("asks for each store once", () => {
  expect(mountsOf([], [order("home"), order("object"), order("home")]).stores).toEqual(["home", "object"]);
});

it("puts a fork's mounts in place of the source's at the same path, or beside them", () => {
  const source = [mount("/data"), mount("/cache", { mode: "ro" })];
  const own = [mount("/data", { volume: "vol_2", mode: "cow" }), mount("/out")];
  expect(mountsOfChildren(source, own)).toEqual({ mounts: [source[1], own[0], own[1]], kept: 1 });
  expect(mountsOfChildren(source, [])).toEqual({ mounts: source, kept: 2 });
});

it("names the field of what was asked for last", () => {
  const kept = [mount("/cache")];
  const field = (asked: number) => ["volumes", asked];
  expect(mountIssue([...kept, mount("/data"), mount("/out")], 1, field)).toBeNull();
  expect(mountIssue([...kept, mount("/data"), mount("/cache/deep")], 1, field)).toMatchObject({ path: ["volumes", 1, "path"] });
  expect(mountIssue([...kept, mount("/data", { version: "ver_1" })], 1, field)).toMatchObject({ path: ["volumes", 0, "mode"] });
  const many = Array.from({ length: LIMITS.volumesPerSandbox }, (_, i) => mount(`/v${i}`));
  expect(mountIssue(many, 0, field)).toBeNull();
  expect(mountIssue([...many, mount("/one-more")], many.length, field)).toMatchObject({ path: ["volumes", 0] });
});

it("takes mounts for the same only where all of them is", () => {
  const one = mount("/data");
  expect(isSameMount(one, { ...one })).toBe(true);
  const others: Partial<VolumeMount>[] = [
    { volume: "vol_2" },
    { version: "ver_1" },
    { path: "/other" },
    { subpath: "deep" },
    { mode: "ro" },
  ];
  for (const other of others) expect(isSameMount(one, { ...one, ...other }), JSON.stringify(other)).toBe(false);
});

it("knows what every node would say", () => {
  expect(["volume.subpath_not_found", "mount.refused", "volume.not_found"].every(isMountRefusal)).toBe(true);
  expect(["volume.unreachable", "volume.mount_failed", "sandbox.start_failed"].some(isMountRefusal)).toBe(false);
});
