import { cowName, fault, type InputOf, LIMITS, type NodeCompare, type OutputOf } from "@banyan/contracts";
import { changesOf, OWN_DIRECTORY, seededFiles } from "@banyan/runtime";
import type { JournalEntry } from "./journal.ts";
import type { NodeParts } from "./parts.ts";

const NAMED_MAX = 100;
/** Directories of our own on the way to what was changed in `cow` mounts. */
const OWN_MAX = 2 + LIMITS.volumesPerSandbox;
const COW_DIRECTORY = `${OWN_DIRECTORY}/cow/`;

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
      leftOut: [`${OWN_DIRECTORY}/proc`, `${OWN_DIRECTORY}/trees`, ...(await seededFiles(upper))],
    };
    const changed: string[] = [];
    let own = 0;
    for await (const part of changesOf(trees, { entriesMax: NAMED_MAX + OWN_MAX, summary: true, ...(signal && { signal }) })) {
      if ("change" in part) {
        const path = pathInside(part.change.path.toString(), known.entry);
        if (path === null) own++;
        else if (changed.length < NAMED_MAX) changed.push(path);
      }
      if (!("end" in part)) continue;
      const { added, changed: altered, deleted } = part.end.totals;
      return { changed, count: added + altered + deleted - own };
    }
    throw fault("internal", { sandboxId }, { message: "a comparison ended without its sum" });
  } finally {
    release();
  }
}

/** As the sandbox knows it: what it has changed in a `cow` mount by the mount's path. Null: a directory of ours. */
function pathInside(path: string, { mounts }: JournalEntry): string | null {
  if (path === OWN_DIRECTORY || `${path}/` === COW_DIRECTORY) return null;
  if (!path.startsWith(COW_DIRECTORY)) return `/${path}`;
  const [name, ...rest] = path.slice(COW_DIRECTORY.length).split("/");
  if (rest.length === 0) return null;
  const mount = mounts.find((each) => cowName(each.source, each) === name);
  return mount === undefined ? `/${path}` : `${mount.path}/${rest.join("/")}`;
}
