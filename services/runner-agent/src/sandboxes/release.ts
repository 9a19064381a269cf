import type { InputOf, NodeRelease, OutputOf } from "@banyan/contracts";
import { tidyFrozen } from "../loops/tidy-frozen.ts";
import type { NodeParts } from "./parts.ts";

/** Noted first: what still has users goes with the last of them. */
export async function releaseFrozen(parts: NodeParts, { frozenIds }: InputOf<typeof NodeRelease>): Promise<OutputOf<typeof NodeRelease>> {
  for (const frozenId of frozenIds) parts.frozenLayers.note(frozenId, { released: true });
  await tidyFrozen(parts);
  return {};
}
