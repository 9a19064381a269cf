import { type InputOf, isFault, type NodeDeleteMany, type OutputOf } from "@banyan/contracts";
import { forEachAtMost } from "@banyan/service";
import { tidyFrozen } from "../loops/tidy-frozen.ts";
import { deleteSandbox } from "./delete.ts";
import type { NodeParts } from "./parts.ts";

const DELETES_AT_ONCE_MAX = 32;

/** Every one is tried; the first that fails for another reason than its epoch is the answer, and the same message again goes on. */
export async function deleteMany(
  parts: NodeParts,
  { sandboxes }: InputOf<typeof NodeDeleteMany>,
): Promise<OutputOf<typeof NodeDeleteMany>> {
  const stale: string[] = [];
  await forEachAtMost(sandboxes, DELETES_AT_ONCE_MAX, async (each) => {
    try {
      await deleteSandbox(parts, each);
    } catch (error) {
      if (!isFault(error, "sandbox.stale_epoch")) throw error;
      stale.push(each.sandboxId);
    }
  });
  // They may have been the last on a layer that was released.
  await tidyFrozen(parts);
  return { stale };
}
