import { isAlive } from "@banyan/runtime";
import { type Loop, startLoop } from "@banyan/service";
import { settleEnded } from "../sandboxes/end-run.ts";
import type { JournalEntry } from "../sandboxes/journal.ts";
import type { NodeParts } from "../sandboxes/parts.ts";

const ROUND_MS = 100;
/** Each round looks at one in so many slots: a death is seen within a second, and no round holds up the starts. */
const SHARE_OF_A_ROUND = 10;

export type OnDied = (entry: JournalEntry, reason: string) => void;

/** Sees slots that end by themselves: at once where the container engine says so, else within a second. */
export function watchDeaths(parts: NodeParts, onDied: OnDied): Pick<Loop, "stop"> {
  const unsubscribe = parts.maker.onDeath((slotId) => void checkSlot(parts, slotId, onDied));
  let position = 0;
  const round = async () => {
    const slots = parts.pool.slots();
    const count = Math.ceil(slots.length / SHARE_OF_A_ROUND);
    if (position >= slots.length) position = 0;
    for (const slot of slots.slice(position, position + count)) if (!isAlive(slot)) await checkSlot(parts, slot.id, onDied);
    position += count;
  };
  const loop = startLoop({ name: "watch-deaths", everyMs: ROUND_MS, clock: parts.clock, logger: parts.logger, round });
  return {
    async stop() {
      unsubscribe();
      await loop.stop();
    },
  };
}

/** A slot that may have died: free ones are replaced, a sandbox's run is over. */
export async function checkSlot(parts: NodeParts, slotId: string, onDied: OnDied): Promise<void> {
  const known = parts.registry.bySlot(slotId);
  if (known === undefined) {
    parts.pool.died(slotId);
    return;
  }
  await parts.turns.take(known.entry.sandboxId, async () => {
    const run = parts.registry.get(known.entry.sandboxId)?.run;
    if (!run || run.slot.id !== slotId || isAlive(run.slot)) return;
    parts.logger.warn({ sandboxId: known.entry.sandboxId, slotId }, "a sandbox's slot has died");
    await settleEnded(parts, known.entry.sandboxId, run.slot);
    onDied(known.entry, "slot_died");
  });
}
