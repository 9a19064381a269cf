import { fault, type InputOf, type NodeCompare, type OutputOf } from "@banyan/contracts";
import { changesOf, seededFiles } from "@banyan/runtime";
import type { NodeParts } from "./parts.ts";

const NAMED_MAX = 100;

/** How a sandbox's files differ from what was frozen of them. A running one is read as it is at the moment; what its start put there does not count. */
export async function compareSandbox(
  parts: NodeParts,
  { sandboxId, epoch, frozen }: InputOf<typeof NodeCompare>,
  signal?: AbortSignal,
): Promise<OutputOf<typeof NodeCompare>> {
  const known = parts.registry.get(sandboxId);
  if (known === undefined) throw fault("sandbox.not_found", { sandboxId });
  if (known.entry.epoch !== epoch) throw fault("sandbox.stale_epoch", { sandboxId, epoch: known.entry.epoch });
  const stack = known.entry.layers ?? [];
  const held = [...stack, { digest: frozen, sizeBytes: 0 }];
  const release = parts.layers.hold(held);
  try {
    await parts.layers.ensure(held);
    const { upper } = parts.disk.driver.paths(sandboxId);
    const trees = {
      now: [upper],
      before: [parts.layers.path(frozen)],
      base: stack.map(({ digest }) => parts.layers.path(digest)).reverse(),
      leftOut: await seededFiles(upper),
    };
    const changed: string[] = [];
    for await (const part of changesOf(trees, { entriesMax: NAMED_MAX, summary: true, ...(signal && { signal }) })) {
      if ("change" in part) changed.push(`/${part.change.path.toString()}`);
      if (!("end" in part)) continue;
      const { added, changed: altered, deleted } = part.end.totals;
      return { changed, count: added + altered + deleted };
    }
    throw fault("internal", { sandboxId }, { message: "a comparison ended without its sum" });
  } finally {
    release();
  }
}
