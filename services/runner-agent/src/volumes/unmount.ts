import { fault, type InputOf, type NodeUnmount, type OutputOf } from "@banyan/contracts";
import { messageOf } from "@banyan/kernel";
import { NativeError } from "@banyan/runtime";
import type { NodeParts } from "../sandboxes/parts.ts";
import { noteMounts, runningOf } from "./mount.ts";

/** Nothing there is success. */
export async function unmountVolume(
  parts: NodeParts,
  { sandboxId, epoch, path, force }: InputOf<typeof NodeUnmount>,
): Promise<OutputOf<typeof NodeUnmount>> {
  return parts.turns.take(sandboxId, async () => {
    const { entry, run } = runningOf(parts, { sandboxId, epoch });
    const mount = entry.mounts.find((each) => each.path === path);
    if (mount === undefined) return {};
    const { pid, startTime } = run.slot;
    try {
      if (mount.mountId !== null) await parts.attach.unmount({ pid, startTime, mountId: mount.mountId, force });
    } catch (cause) {
      if (cause instanceof NativeError && cause.errnoName === "EBUSY") throw fault("mount.busy", { sandboxId, path }, { cause });
      throw fault("volume.mount_failed", { sandboxId, path, reason: messageOf(cause) }, { cause });
    }
    noteMounts(
      parts,
      entry,
      entry.mounts.filter((each) => each !== mount),
    );
    parts.stores.release([mount]);
    return {};
  });
}
