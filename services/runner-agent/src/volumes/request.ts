import { cowName, type MountOrder } from "@banyan/contracts";
import type { DiskPaths, VolumeRequest } from "@banyan/runtime";

/** What the helper is asked for. `source`: where the volume's files are on this host. */
export function volumeRequest(order: MountOrder, source: string, disk: DiskPaths): VolumeRequest {
  const { mode, path: target, subpath } = order;
  if (mode !== "cow") return { mode, target, source, subpath, cow: null };
  const name = cowName(order.source, order);
  return { mode, target, source, subpath, cow: { name, work: `${disk.work}.${name}` } };
}
