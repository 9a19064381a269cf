import { newId } from "@banyan/kernel";
import type { Mount } from "@banyan/runtime";
import { expect, it } from "vitest";
import { foundMounts } from "./adopt-mounts.ts";
import type { MountRecord } from "./record.ts";

const record = (path: string, mountId: number | null): MountRecord => ({
  ...{ path, subpath: "", mode: "rw", mountId },
  source: { kind: "directory", store: "store", volumeId: newId("vol"), versionId: null },
});
const mounted = (id: number, mountPoint: string): Mount => ({ id, mountPoint, root: "/", fsType: "btrfs", source: "none", options: [] });

it("knows a mount again by its id, wherever it has gone, and one that was about to be made by its place", () => {
  const mounts = [record("/moved", 7), record("/made", null), record("/gone", 8), record("/never", null)];
  const table = [mounted(7, "/elsewhere"), mounted(9, "/made"), mounted(10, "/gone")];
  expect(foundMounts({ mounts }, table)).toEqual([mounts[0], { ...mounts[1], mountId: 9 }]);
});
