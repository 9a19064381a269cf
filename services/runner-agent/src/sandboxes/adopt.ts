import { type ListedSlot, readMounts, type Slot } from "@banyan/runtime";
import { finishDelete } from "./delete.ts";
import type { JournalEntry } from "./journal.ts";
import type { NodeParts } from "./parts.ts";

export interface Adopted {
  /** Running sandboxes that are this process's now. */
  running: JournalEntry[];
  /** Runs that ended while nobody watched. */
  died: JournalEntry[];
  /** Slots that nobody has a use for. */
  useless: ListedSlot[];
}

/**
 * After a restart: what lives is taken over, what does not is found out. The kernel's own word counts: a slot belongs to the sandbox whose
 * disk is mounted as its root, and is free when none is.
 */
export async function adopt(parts: NodeParts): Promise<Adopted> {
  const entries = new Map(parts.journal.read(parts.logger).map((entry) => [entry.sandboxId, entry]));
  const listed = await parts.maker.list();
  const adopted: Adopted = { running: [], died: [], useless: [] };
  const byUpper = new Map([...entries.keys()].map((sandboxId) => [parts.disk.driver.paths(sandboxId).upper, sandboxId]));
  const named = new Set([...entries.values()].flatMap(({ slot }) => (slot === null ? [] : [slot.id])));
  const free: Slot[] = [];
  for (const each of listed) {
    const upper = each.alive ? upperOf(each.slot) : null;
    const entry = entries.get(byUpper.get(upper ?? "") ?? "");
    if (each.alive && entry?.state === "running" && isSame(entry.slot, each.slot)) {
      parts.pool.adopt({ free: [], taken: [each.slot] });
      parts.registry.setRunning({ ...entry, slot: each.slot }, each.slot, null);
      adopted.running.push(entry);
    } else if (each.alive && each.finished && upper === null && !named.has(each.id)) free.push(each.slot);
    else adopted.useless.push(each);
  }
  parts.pool.adopt({ free, taken: [] });
  for (const entry of entries.values()) {
    if (parts.registry.get(entry.sandboxId) !== undefined) continue;
    const stopped: JournalEntry = { ...entry, state: "stopped", slot: null, mounts: [] };
    if (entry.state === "running") {
      adopted.died.push(entry);
      parts.journal.write(stopped);
    }
    parts.registry.setStopped(stopped);
  }
  await finishDeletes(parts);
  return adopted;
}

/** A delete that was said but not finished. */
async function finishDeletes(parts: NodeParts): Promise<void> {
  for (const { sandboxId } of parts.registry.entries()) {
    const epoch = parts.tombstones.epochOf(sandboxId);
    if (epoch !== undefined && epoch >= (parts.registry.get(sandboxId)?.entry.epoch ?? 0)) await finishDelete(parts, sandboxId);
  }
}

/** The upper directory of the overlay at the slot's root when a sandbox is attached; the container engine's own root has another. */
function upperOf(slot: Slot): string | null {
  const root = readMounts(slot.pid).findLast((mount) => mount.mountPoint === "/");
  const upper = root?.options.find((option) => option.startsWith("upperdir="))?.slice("upperdir=".length);
  return upper === undefined || !upper.endsWith("/upper") ? null : upper;
}

function isSame(recorded: JournalEntry["slot"], slot: Slot): boolean {
  return recorded?.id === slot.id && recorded.pid === slot.pid && recorded.startTime === slot.startTime;
}
