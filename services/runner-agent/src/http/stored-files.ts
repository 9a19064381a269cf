import { fault } from "@banyan/contracts";
import type { NodeParts } from "../sandboxes/parts.ts";

/** A sandbox of this node, running or not, as what it has on disk. */
export interface StoredSandbox {
  readonly sandboxId: string;
  readonly running: boolean;
  /** Null: it has no disk. */
  readonly upper: string | null;
  /** What it stands on, bottom first. */
  readonly layers: readonly { digest: string; directory: string }[];
  /** As in RunningSandbox; and what it stands on stays here until the returned function is called, whatever becomes of the sandbox. */
  use(): () => void;
}

/** Which sandboxes lie here, for what needs their files alone. */
export interface StoredFiles {
  /** `epoch` null: whichever it is. Throws sandbox.not_found or sandbox.stale_epoch. */
  find(ref: { sandboxId: string; orgId: string; epoch: number | null }): StoredSandbox;
}

export function storedFiles({ registry, disk, layers }: Pick<NodeParts, "registry" | "disk" | "layers">): StoredFiles {
  return {
    find({ sandboxId, orgId, epoch }) {
      const known = registry.get(sandboxId);
      // Another organisation's sandbox is as unknown as one that never was.
      if (known === undefined || known.entry.orgId !== orgId) throw fault("sandbox.not_found", { sandboxId });
      if (epoch !== null && known.entry.epoch !== epoch) throw fault("sandbox.stale_epoch", { sandboxId, epoch: known.entry.epoch });
      const stack = known.entry.layers;
      if (stack === null) throw fault("diff.failed", { sandboxId, reason: "this node has not noted what the sandbox stands on" });
      return {
        sandboxId,
        running: known.run !== null,
        upper: disk.driver.has(sandboxId) ? disk.driver.paths(sandboxId).upper : null,
        layers: stack.map(({ digest }) => ({ digest, directory: layers.path(digest) })),
        use() {
          const release = layers.hold(stack);
          const rest = known.run?.view.use();
          return () => {
            release();
            rest?.();
          };
        },
      };
    },
  };
}
