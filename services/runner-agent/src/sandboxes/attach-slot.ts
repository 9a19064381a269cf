import type { StartOrder } from "@banyan/contracts";
import { assert } from "@banyan/kernel";
import { type AttachRequest, limitWrites, NativeError, type Slot } from "@banyan/runtime";
import { mountFault } from "../volumes/mount-fault.ts";
import { recordOf } from "../volumes/record.ts";
import { volumeRequest } from "../volumes/request.ts";
import { giveUpSlot } from "./end-run.ts";
import type { JournalEntry } from "./journal.ts";
import type { NodeParts } from "./parts.ts";
import { seedFiles } from "./seed.ts";

/** A slot may die between its claim and the attach; then another one is taken. */
const SLOTS_TRIED_MAX = 3;

/** The slot a start works with; null while it is between two. */
export interface HeldSlot {
  slot: Slot | null;
  path: "warm" | "cold";
}

/**
 * Makes the sandbox's tree the root of the slot, and the slot known as the sandbox's: the entry as it is then. `sources`: where the volumes of its mounts
 * are on this host.
 */
export async function attachSlot(
  parts: NodeParts,
  order: StartOrder,
  entry: JournalEntry,
  held: HeldSlot,
  sources: readonly string[],
): Promise<JournalEntry & { slot: Slot }> {
  for (let tried = 1; ; tried++) {
    const { slot } = held;
    assert(slot !== null, "an attach needs a slot");
    if (order.network.egress === "allow") await parts.network.allow(slot.address, order.network.allow);
    try {
      // Written while the helper works. A crash in between is told from the slot's own root.
      const attaching = parts.attach.attach(attachRequest(parts, order, slot, sources));
      const [{ mountIds }] = await Promise.all([attaching, writeEntry(parts, { ...entry, slot })]);
      return withMounts(parts, { ...entry, slot }, order, mountIds);
    } catch (error) {
      const isSlotGone = error instanceof NativeError && error.errnoName === "ESRCH";
      if (!isSlotGone || tried === SLOTS_TRIED_MAX) throw mountFault(error, order.mounts) ?? error;
      parts.logger.warn({ slotId: slot.id }, "a slot died before it was attached to");
      held.slot = null;
      await giveUpSlot(parts, slot);
      ({ slot: held.slot, path: held.path } = await parts.pool.claim(order.deadlineMs));
    }
  }
}

/** Written once more: by its id a mount is found again wherever a rename inside has taken it. */
function withMounts<E extends JournalEntry>({ journal }: NodeParts, entry: E, { mounts }: StartOrder, mountIds: readonly number[]): E {
  if (mounts.length === 0) return entry;
  const whole = { ...entry, mounts: mounts.map((mount, at) => recordOf(mount, mountIds[at] ?? null)) };
  journal.write(whole);
  return whole;
}

function attachRequest({ disk, layers, network }: NodeParts, order: StartOrder, slot: Slot, sources: readonly string[]): AttachRequest {
  const paths = disk.driver.paths(order.sandboxId);
  return {
    pid: slot.pid,
    startTime: slot.startTime,
    lower: order.layers.map(({ digest }) => layers.path(digest)).reverse(),
    ...paths,
    hostname: order.hostname,
    seeds: order.fresh ? seedFiles(order.hostname, network.resolvers) : [],
    cgroups: limitWrites(slot.cgroups, order.resources),
    netDown: order.network.egress === "closed",
    volumes: order.mounts.map((mount, at) => volumeRequest(mount, sources[at] ?? "", paths)),
  };
}

async function writeEntry({ journal }: NodeParts, entry: JournalEntry): Promise<void> {
  journal.write(entry);
}
