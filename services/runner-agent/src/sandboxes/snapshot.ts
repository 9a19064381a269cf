import { fault, type InputOf, isFault, type NodeSnapshot, type OutputOf } from "@banyan/contracts";
import { messageOf } from "@banyan/kernel";
import { freezeInTurn } from "./freeze.ts";
import type { NodeParts } from "./parts.ts";
import { isTooDeep, packDirectories, shipEach } from "./ship.ts";

type Input = InputOf<typeof NodeSnapshot>;
type Output = OutputOf<typeof NodeSnapshot>;

/**
 * Makes a layer of what a sandbox has changed, ships it, and answers the stack that is the sandbox as it was at that moment. Only the freeze
 * concerns the sandbox: all else works on what was frozen, while it runs on, stops or is deleted.
 */
export async function snapshotSandbox(parts: NodeParts, input: Input, signal?: AbortSignal): Promise<Output> {
  const release = parts.layers.hold(input.layers);
  try {
    const isDeep = isTooDeep(input.layers.length + 1);
    if (isDeep) await parts.layers.ensure(input.layers);
    // Before the gate, which each of them passes by itself.
    const below = isDeep ? { layers: [], skipped: [] } : await shipEach(parts, input.layers);
    return await parts.snapshots.run(async () => {
      const { frozen, way } = await parts.turns.take(input.sandboxId, () => freezeInTurn(parts, input));
      try {
        const lower = isDeep ? input.layers.map(({ digest }) => parts.layers.path(digest)).reverse() : [];
        const { layer, skipped } = await packDirectories(parts, [frozen.directory, ...lower], signal);
        return {
          layers: [...below.layers, layer],
          way,
          pausedMs: frozen.pausedMs,
          skipped: [...below.skipped, ...skipped].slice(0, 100),
        };
      } finally {
        await frozen.remove().catch((err) => parts.logger.warn({ err }, "what was frozen stays until the node starts the next time"));
      }
    });
  } catch (cause) {
    if (isFault(cause, "sandbox.not_found", "sandbox.stale_epoch", "snapshot.failed")) throw cause;
    throw fault("snapshot.failed", { sandboxId: input.sandboxId, reason: messageOf(cause) }, { cause });
  } finally {
    release();
  }
}
