import type { VolumeMount } from "@banyan/contracts";
import type { Sandbox } from "./sandbox.ts";

/** What is being done to the mounts of one run of a sandbox. Until it is settled, nobody knows whether the run has the mount. */
export interface MountIntent {
  sandboxId: string;
  /** Of the run: what it has mounted goes with it. */
  epoch: number;
  kind: "mount" | "unmount";
  mount: VolumeMount;
  /** Of an unmount: also where processes use it. */
  force: boolean;
}

/**
 * What is left to do about one that nobody carries out any more. over: the run is, or the row has the last word. wait: the run may be there and cannot be
 * asked. undo: a mount that no row tells of is taken away. finish: an unmount is done to its end.
 */
export type Settlement = "over" | "wait" | "undo" | "finish";

export function settlementOf({ epoch, kind, mount }: MountIntent, sandbox: Sandbox | null): Settlement {
  if (sandbox === null || sandbox.epoch !== epoch) return "over";
  switch (sandbox.state) {
    case "deleted":
    case "stopped":
      return "over";
    case "running": {
      const isDeclared = sandbox.spec.volumes.some(({ path }) => path === mount.path);
      if (isDeclared === (kind === "mount")) return "over";
      return kind === "mount" ? "undo" : "finish";
    }
    default:
      return "wait";
  }
}
